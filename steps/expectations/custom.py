"""Our rules as metrics and expectations of Great Expectations. Imported only to validate."""

from typing import Any, ClassVar

import pandas as pd
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from saga.data.duplicates import near_duplicates
from steps.expectations.rules import PAIR_RULES, RULES, Finding


def _table(engine: PandasExecutionEngine, domain: dict[str, Any]) -> pd.DataFrame:
    frame, _, _ = engine.get_compute_domain(
        domain_kwargs=domain, domain_type=MetricDomainTypes.TABLE
    )
    return frame


class RuleFinding(TableMetricProvider):
    """What a rule about the table finds."""

    metric_name = "table.saga_rule"
    value_keys = ("rule", "limit")

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,  # noqa: N805 - Great Expectations binds the class
        execution_engine,
        metric_domain_kwargs,
        metric_value_kwargs,
        metrics,
        **_: Any,
    ) -> Finding:
        frame = _table(execution_engine, metric_domain_kwargs)
        return RULES[metric_value_kwargs["rule"]](frame, metric_value_kwargs["limit"])


class NearFindings(TableMetricProvider):
    """What both rules about near duplicates find; searched once for the two."""

    metric_name = "table.saga_near_duplicates"
    value_keys = ("distance", "resemblance")

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,  # noqa: N805
        execution_engine,
        metric_domain_kwargs,
        metric_value_kwargs,
        metrics,
        **_: Any,
    ) -> dict[str, Finding]:
        frame = _table(execution_engine, metric_domain_kwargs)
        pairs = near_duplicates(
            frame, metric_value_kwargs["distance"], metric_value_kwargs["resemblance"]
        )
        return {name: rule(frame, pairs) for name, rule in PAIR_RULES.items()}


class ExpectTableToFollowRule(BatchExpectation):
    """The table breaks a rule of `steps.expectations.rules` nowhere."""

    rule: str
    limit: float = 0.0

    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.saga_rule",)
    success_keys: ClassVar[tuple[str, ...]] = ("rule", "limit")
    args_keys: ClassVar[tuple[str, ...]] = ("rule", "limit")

    def _validate(
        self, metrics: dict, runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        return _result(metrics["table.saga_rule"])


class ExpectNoNearDuplicates(BatchExpectation):
    """No picture is there twice: a rule of PAIR_RULES."""

    rule: str
    distance: int
    resemblance: float

    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.saga_near_duplicates",)
    success_keys: ClassVar[tuple[str, ...]] = ("rule", "distance", "resemblance")
    args_keys: ClassVar[tuple[str, ...]] = ("rule", "distance", "resemblance")

    def _validate(
        self, metrics: dict, runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        return _result(metrics["table.saga_near_duplicates"][self.rule])


def _result(finding: Finding) -> dict[str, Any]:
    return {
        "success": finding.broken == 0,
        "result": {
            "element_count": finding.looked_at,
            "unexpected_count": finding.broken,
            "observed_value": finding.observed,
            "details": {"examples": list(finding.examples)},
        },
    }
