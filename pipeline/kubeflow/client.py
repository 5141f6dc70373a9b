"""The parts of Kubeflow Pipelines' API that Conveyor needs. Every failure is a ConveyorError that says what to do."""

from __future__ import annotations

import json
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.kubeflow.api_errors import ApiError, ApiErrors
from pipeline.kubeflow.credentials import credentials_of
from pipeline.kubeflow.versions import version_name

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.parameters import Value

_PAGE_SIZE = 100
_TIMEOUT_SECONDS = (5, 60)  # to connect, to answer


@dataclass(frozen=True)
class PipelineVersion:
    """A package on the server: a version of a pipeline.

    Attributes:
      pipeline_id: the pipeline's id.
      id: the version's id.
      name: the version's name, which holds the package's digest.
      is_new: whether it had to be uploaded.
    """

    pipeline_id: str
    id: str
    name: str
    is_new: bool


class KubeflowClient:
    """A client of the API server that a configuration names. It returns the models of kfp_server_api (v2beta1).

    Pipelines, experiments and schedules are those of the namespace, on a Kubeflow with profiles; another ignores it.

    Args:
      config: the configuration of the pipeline whose runs and schedules are looked for.

    Raises:
      UsageError: the file with the authorities' certificates cannot be used.
    """

    def __init__(self, config: PipelineConfig) -> None:
        import kfp_server_api as api

        self.config = config
        self.host = config.kubeflow.host.rstrip("/")
        self._namespace = config.kubeflow.namespace
        self._credentials = credentials_of(config)
        self._errors = ApiErrors(config.kubeflow, self.host, self._credentials)
        settings = api.Configuration(host=self.host)
        settings.ssl_ca_cert = _authorities(config)
        # Neither retries, which would delay the news that nothing answers, nor redirects, which lead to log-in pages.
        settings.retries = False
        self._api = api.ApiClient(settings)
        self._pipelines = api.PipelineServiceApi(self._api)
        self._uploads = api.PipelineUploadServiceApi(self._api)
        self._experiments = api.ExperimentServiceApi(self._api)
        self._runs = api.RunServiceApi(self._api)
        self._schedules = api.RecurringRunServiceApi(self._api)

    def upload(self, package: str) -> PipelineVersion:
        """Makes a package a version of the pipeline; the same content is uploaded once.

        Args:
          package: the YAML text that `compile_package` returns.

        Raises:
          ApiError: the server cannot be reached or refuses it.
        """
        import kfp_server_api as api

        name = version_name(self.config.name, package)
        pipeline_id = self.pipeline_id()
        if pipeline_id is None:
            pipeline = api.V2beta1Pipeline(name=self.config.name, display_name=self.config.name, namespace=self._namespace)
            pipeline_id = self._call(self._pipelines.pipeline_service_create_pipeline, pipeline).pipeline_id
        known = self._call(
            self._pipelines.pipeline_service_list_pipeline_versions, pipeline_id, filter=_equals("display_name", name)
        )
        if known.pipeline_versions:
            return PipelineVersion(pipeline_id, known.pipeline_versions[0].pipeline_version_id, name, is_new=False)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.yaml"
            path.write_text(package)
            uploaded = self._call(self._uploads.upload_pipeline_version, str(path), name=name, pipelineid=pipeline_id)
        return PipelineVersion(pipeline_id, uploaded.pipeline_version_id, name, is_new=True)

    def pipeline_id(self) -> str | None:
        """The id of the configuration's pipeline, if the server knows it."""
        try:
            get = self._pipelines.pipeline_service_get_pipeline_by_name
            return str(self._call(get, self.config.name, namespace=self._namespace).pipeline_id)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def package_spec(self, run: Any) -> dict[str, Any]:
        """The pipeline spec that a run was started from; empty where the server no longer has it."""
        source = run.pipeline_version_reference
        document = run.pipeline_spec
        if source is not None and source.pipeline_version_id:
            try:
                get = self._pipelines.pipeline_service_get_pipeline_version
                document = self._call(get, source.pipeline_id, source.pipeline_version_id).pipeline_spec
            except ApiError as error:
                if error.status != 404:
                    raise
        # With a platform spec beside it, the pipeline spec is one level down.
        return dict((document or {}).get("pipeline_spec", document or {}))

    def start_run(self, version: PipelineVersion, values: Mapping[str, Value], name: str, note: str) -> Any:
        """Starts a run in the configuration's experiment.

        Args:
          version: the package to run.
          values: the parameters that differ from the package's defaults.
          name: the name that the dashboard shows.
          note: the description that the dashboard shows.
        """
        import kfp_server_api as api

        run = api.V2beta1Run(
            display_name=name,
            description=note,
            experiment_id=self._experiment_id(create=True),
            pipeline_version_reference=api.V2beta1PipelineVersionReference(version.pipeline_id, version.id),
            runtime_config=api.V2beta1RuntimeConfig(parameters=dict(values)),
        )
        return self._call(self._runs.run_service_create_run, run)

    def run(self, run_id: str) -> Any:
        """A run with the state of its tasks.

        Raises:
          ApiError: there is no such run (status 404), or the server cannot be reached.
        """
        return self._call(self._runs.run_service_get_run, run_id)

    def runs(self) -> Iterator[Any]:
        """The pipeline's runs in the configuration's experiment, newest first."""
        experiment_id, pipeline_id = self._experiment_id(create=False), self.pipeline_id()
        if experiment_id is None or pipeline_id is None:
            return
        pages = self._pages(self._runs.run_service_list_runs, "runs", experiment_id=experiment_id, sort_by="created_at desc")
        for run in pages:
            if run.pipeline_version_reference is not None and run.pipeline_version_reference.pipeline_id == pipeline_id:
                yield run

    def terminate(self, run_id: str) -> None:
        """Ends a run and stops its pods."""
        self._call(self._runs.run_service_terminate_run, run_id)

    def create_schedule(self, version: PipelineVersion, values: Mapping[str, Value], trigger: Any, description: str) -> Any:
        """Creates a recurring run with the pipeline's name.

        It starts one run at a time, since runs share a cache and a serving folder. It does not catch up: after a pause, one run
        on the newest data does what all the missed ones would have done.

        Args:
          version: the package to run.
          values: the parameters that differ from the package's defaults.
          trigger: a V2beta1Trigger.
          description: the description that the dashboard shows.
        """
        import kfp_server_api as api

        recurring = api.V2beta1RecurringRun(
            display_name=self.config.name,
            description=description,
            experiment_id=self._experiment_id(create=True),
            pipeline_version_reference=api.V2beta1PipelineVersionReference(version.pipeline_id, version.id),
            runtime_config=api.V2beta1RuntimeConfig(parameters=dict(values)),
            trigger=trigger,
            mode=api.RecurringRunMode.ENABLE,
            max_concurrency="1",
            no_catchup=True,
        )
        return self._call(self._schedules.recurring_run_service_create_recurring_run, recurring)

    def schedules(self) -> list[Any]:
        """Every recurring run in the namespace, newest first."""
        list_ = self._schedules.recurring_run_service_list_recurring_runs
        return list(self._pages(list_, "recurring_runs", sort_by="created_at desc", namespace=self._namespace))

    def pause_schedule(self, schedule_id: str) -> None:
        """Keeps a recurring run from starting runs."""
        self._call(self._schedules.recurring_run_service_disable_recurring_run, schedule_id)

    def resume_schedule(self, schedule_id: str) -> None:
        """Lets a paused recurring run start runs again."""
        self._call(self._schedules.recurring_run_service_enable_recurring_run, schedule_id)

    def delete_schedule(self, schedule_id: str) -> None:
        """Deletes a recurring run; the runs that it started stay."""
        self._call(self._schedules.recurring_run_service_delete_recurring_run, schedule_id)

    def address(self, run_id: str) -> str:
        """The address at which the dashboard shows a run."""
        return f"{self.host}/#/runs/details/{run_id}"

    def _experiment_id(self, create: bool) -> str | None:
        import kfp_server_api as api

        name = self.config.kubeflow.experiment.replace("{name}", self.config.name)
        found = self._call(
            self._experiments.experiment_service_list_experiments,
            filter=_equals("display_name", name),
            namespace=self._namespace,
        ).experiments
        if found:
            return str(found[0].experiment_id)
        if not create:
            return None
        experiment = api.V2beta1Experiment(display_name=name, namespace=self._namespace)
        return str(self._call(self._experiments.experiment_service_create_experiment, experiment).experiment_id)

    def _pages(self, method: Callable[..., Any], items: str, **arguments: Any) -> Iterator[Any]:
        token = ""
        while True:
            page = self._call(method, page_size=_PAGE_SIZE, page_token=token, **arguments)
            yield from getattr(page, items) or ()
            token = page.next_page_token
            if not token:
                return

    def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return self._answer(method, *arguments, **options)
        except ApiError as error:
            if not error.asks_for_log_in or self._credentials is None or not self._credentials.renew():
                raise
        return self._answer(method, *arguments, **options)

    def _answer(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        from kfp_server_api.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        if self._credentials is not None:
            self._api.set_default_header(*self._credentials.header())
        try:
            answer = method(*arguments, _request_timeout=_TIMEOUT_SECONDS, **options)
        except ApiException as error:
            raise self._errors.refused(error.status, error.reason, error.body) from error
        except HTTPError as error:
            raise self._errors.unreachable(error) from error
        except AttributeError as error:
            # kfp_server_api makes an error without a body of one that TLS has, and then decodes the body.
            if not isinstance(error.__context__, ApiException):
                raise
            raise self._errors.unreachable(error.__context__) from error
        # Another web server may have a page for every address.
        if not self._api.last_response.data.lstrip().startswith("{"):
            raise self._errors.not_kubeflow(self._api.last_response.data)
        return answer


def _authorities(config: PipelineConfig) -> str | None:
    """The file with the certificates of the authorities that vouch for the server, if it is named."""
    if config.kubeflow.ca_file is None:
        return None
    path = config.resolve(config.kubeflow.ca_file)
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UsageError(
            "The file with the authorities' certificates cannot be used.",
            where=f"kubeflow.ca_file: {path}",
            expected="certificates in PEM, as in -----BEGIN CERTIFICATE-----",
            seen=error.strerror or str(error),
            fix="Ask who runs the cluster for the certificate of its authority, and name its file.",
        ) from error
    return path


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})
