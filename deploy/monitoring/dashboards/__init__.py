"""The dashboards: is it healthy, how fast is it, what is stuck, and where to look next."""

from deploy.monitoring.dashboards.infrastructure import INFRASTRUCTURE
from deploy.monitoring.dashboards.overview import OVERVIEW
from deploy.monitoring.dashboards.pipeline import PIPELINE
from deploy.monitoring.dashboards.run import RUN
from deploy.monitoring.dashboards.tenants import TENANTS
from deploy.monitoring.dashboards.webhooks import WEBHOOKS

DASHBOARDS = (OVERVIEW, PIPELINE, RUN, TENANTS, WEBHOOKS, INFRASTRUCTURE)
