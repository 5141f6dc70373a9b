"""Validates that the candidate can be served: it is loaded and answers real requests before it is pushed."""

from components.infra_validator.component import ProcessInfraValidator
from components.infra_validator.selection import infra_validator_for

__all__ = ["ProcessInfraValidator", "infra_validator_for"]
