"""Transforms examples without Beam, with TFX's artifacts."""

from components.transform.component import FastTransform

__all__ = ["FastTransform"]
