"""The compiled pipeline and its configuration, which a package carries to its pods as two arguments."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError, UsageError
from pipeline.util import code

if TYPE_CHECKING:
    from tfx.proto.orchestration import pipeline_pb2

LIMIT = 64 * 1024
"""Bytes that both arguments may have together. Linux takes 128 KiB an argument, and KFP's driver gets the whole container
as one argument, which Argo keeps as a parameter of the workflow besides."""

_ENTRY_POINTS = ("pipeline.kubeflow.pod.entrypoint", "pipeline.kubeflow.pod.finish")


@dataclass(frozen=True)
class Payload:
    """A pipeline that can run where its configuration's files are not.

    Attributes:
      ir: the serialized pipeline_pb2.Pipeline, bound to no run.
      config: what it was compiled from, with the paths of the cluster.
      code: the digest of the code that it was compiled with.
    """

    ir: bytes
    config: PipelineConfig
    code: str

    @classmethod
    def of(cls, ir: pipeline_pb2.Pipeline, config: PipelineConfig) -> Payload:
        """The payload for a pipeline that this code has just compiled."""
        from tfx.proto.orchestration import pipeline_pb2

        canonical, deployment = pipeline_pb2.Pipeline(), pipeline_pb2.IntermediateDeploymentConfig()
        canonical.CopyFrom(ir)
        # The compiler packs it with its maps in any order, which no later serialization could correct.
        canonical.deployment_config.Unpack(deployment)
        canonical.deployment_config.Pack(deployment, deterministic=True)
        return cls(canonical.SerializeToString(deterministic=True), config, code_digest())

    def of_nodes(self, node_ids: Collection[str]) -> Payload:
        """The part that a task needs to run some of the nodes.

        Argo's workflow holds several copies of what a task is given, so a task is given no more than it needs.

        Args:
          node_ids: the ids of these nodes.
        """
        from tfx.proto.orchestration import pipeline_pb2

        ir, deployment = self.pipeline(), pipeline_pb2.IntermediateDeploymentConfig()
        kept = [entry for entry in ir.nodes if entry.pipeline_node.node_info.id in node_ids]
        del ir.nodes[:]
        ir.nodes.extend(kept)
        ir.deployment_config.Unpack(deployment)
        for specs in (deployment.executor_specs, deployment.custom_driver_specs, deployment.node_level_platform_configs):
            for other in set(specs) - set(node_ids):
                del specs[other]
        ir.deployment_config.Pack(deployment, deterministic=True)
        return replace(self, ir=ir.SerializeToString(deterministic=True))

    def outline(self) -> Payload:
        """The part that the exit task needs: the names of all nodes, and which wait for which."""
        from tfx.proto.orchestration import pipeline_pb2

        whole = self.pipeline()
        ir = pipeline_pb2.Pipeline(pipeline_info=whole.pipeline_info)
        for entry in whole.nodes:
            node = entry.pipeline_node
            outline = pipeline_pb2.PipelineNode(node_info=node.node_info, upstream_nodes=node.upstream_nodes)
            ir.nodes.add().pipeline_node.CopyFrom(outline)
        return replace(self, ir=ir.SerializeToString(deterministic=True))

    def pipeline(self) -> pipeline_pb2.Pipeline:
        """The compiled pipeline, as far as it is carried, bound to no run."""
        from tfx.proto.orchestration import pipeline_pb2

        return pipeline_pb2.Pipeline.FromString(self.ir)

    def require_same_code(self) -> None:
        """Makes sure that nodes are executed by the code that the pipeline was compiled with.

        Raises:
          UsageError: other code is here. It could make another model of the same inputs, and the cache would not know.
        """
        if self.code != code_digest():
            raise UsageError(
                "The package was compiled with other code than the image holds.",
                where=", ".join(self.config.kubeflow.images),
                expected=f"code with the digest {self.code[:12]}",
                seen=code_digest()[:12],
                fix="Build and load the image again, then compile or submit with the same checkout.",
            )

    def arguments(self) -> list[str]:
        """The command line that `read` understands.

        Raises:
          ConfigError: it is longer than a cluster can carry.
        """
        # What is not there has the default of the same code.
        given = self.config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        described = {"config": given, "code": self.code}
        arguments = ["--ir", _pack(self.ir), "--config", _pack(json.dumps(described, sort_keys=True).encode())]
        size = sum(map(len, arguments))
        if size > LIMIT:
            raise ConfigError(
                "The compiled pipeline is too large for a Kubeflow package.",
                where=self.config.name,
                expected=f"at most {LIMIT} bytes, packed",
                seen=f"{size} bytes",
                fix="Shorten what the pipeline carries: the curated schema (long domains) and the files with your own code.",
            )
        return arguments

    @classmethod
    def read(cls, ir: str, config: str) -> Payload:
        """The payload that two arguments carry.

        Raises:
          UsageError: they do not come from `arguments`.
        """
        try:
            described = json.loads(_unpack(config))
            settings = PipelineConfig.model_validate(described["config"])
            return cls(_unpack(ir), settings, described["code"])
        except (binascii.Error, gzip.BadGzipFile, EOFError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                "The arguments of the task are not those of a compiled package.",
                where="--ir, --config",
                expected="what `conveyor compile` writes into a package",
                seen=str(error).splitlines()[0],
                fix="Compile the pipeline again with the code that the image holds.",
            ) from error


def code_digest() -> str:
    """A digest of all code that pods run, the same on the laptop and in the image."""
    return code.digest(*_ENTRY_POINTS, *code.NODES)


def _pack(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _unpack(text: str) -> bytes:
    return gzip.decompress(base64.b64decode(text, validate=True))
