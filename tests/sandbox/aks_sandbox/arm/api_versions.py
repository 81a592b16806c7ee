"""Which api-version of which interface is served.

Azure serves more than these: here are the versions that the SDKs of azure.azcollection 3, the az CLI 2.91 and
azure-mgmt-* of 2026 contain or send. One that Azure never published is refused, as it would be there.
"""

from __future__ import annotations

import re

from .errors import GatewayError

SUBSCRIPTIONS = ("2016-06-01", "2018-06-01", "2019-06-01", "2019-11-01", "2020-01-01", "2021-01-01", "2022-12-01")
RESOURCES = (
    *("2015-01-01", "2016-02-01", "2016-09-01", "2017-05-10", "2018-02-01", "2018-05-01", "2019-03-01", "2019-05-01"),
    *("2019-05-10", "2019-07-01", "2019-08-01", "2019-10-01", "2020-06-01", "2020-10-01", "2021-01-01", "2021-04-01"),
    *("2022-09-01", "2024-07-01", "2024-11-01", "2025-03-01", "2025-04-01"),
)
CONTAINER_SERVICE = (
    *("2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-06-01", "2020-07-01", "2020-09-01", "2020-11-01"),
    *("2020-12-01", "2021-02-01", "2021-03-01", "2021-05-01", "2021-07-01", "2021-08-01", "2021-09-01", "2021-10-01"),
    *("2022-01-01", "2022-02-01", "2022-03-01", "2022-04-01", "2022-06-01", "2022-07-01", "2022-09-01", "2022-11-01"),
    *("2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01", "2023-06-01", "2023-07-01", "2023-08-01"),
    *("2023-09-01", "2023-10-01", "2023-11-01", "2024-01-01", "2024-02-01", "2024-05-01", "2024-07-01", "2024-08-01"),
    *("2025-08-01", "2026-05-01", "2026-06-01", "2026-08-01"),
)
SERVED: dict[str, tuple[str, ...]] = {
    "microsoft.authorization": ("2015-07-01", "2018-07-01", "2022-04-01"),
    "microsoft.compute/locations": ("2021-07-01", "2024-03-01", "2024-07-01", "2024-11-01", "2026-04-01"),
    "microsoft.compute/skus": ("2017-09-01", "2019-04-01", "2021-07-01"),
    "microsoft.containerservice/locations": ("2016-03-30", "2025-03-01", *CONTAINER_SERVICE),
    "microsoft.containerservice/managedclusters": CONTAINER_SERVICE,
    "microsoft.features": ("2015-12-01", "2021-07-01"),
    "microsoft.insights": ("2021-04-01", "2022-06-01", "2023-03-11"),
    "microsoft.monitor": ("2023-04-03",),
    "microsoft.network": ("2022-01-01", "2024-03-01", "2024-05-01"),
    "microsoft.operationalinsights": ("2020-08-01", "2021-06-01", "2022-10-01", "2023-09-01"),
}
"""By resource type, or by namespace where all its types have the same; in lower case."""

OWN = ("microsoft.authorization", "microsoft.features")
"""Namespaces of Resource Manager itself, which has an error of its own for them."""


def check(path: str, version: str, location: str) -> None:
    """
    Args:
        path: Of the request.
        version: Its api-version.
        location: Where the resource is, as far as it is known; for the text.

    Raises:
        GatewayError: 400 InvalidApiVersionParameter or NoRegisteredProviderFound.
    """
    namespace, kinds = _type_of(path)
    if not namespace:
        group = re.match(r"/subscriptions/[^/]+/(?:resourcegroups|providers)(?:/|$)", path, re.IGNORECASE)
        served: tuple[str, ...] = RESOURCES if group else SUBSCRIPTIONS
    else:
        served = SERVED.get(namespace.lower()) or SERVED.get(f"{namespace}/{kinds[0]}".lower(), ())
    if version in served:
        return
    listed = ", ".join(served)
    if not namespace or namespace.lower() in OWN:
        raise GatewayError(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{listed}'.",
        )
    raise GatewayError(
        400,
        "NoRegisteredProviderFound",
        f"No registered resource provider found for location '{location}' and API version '{version}' for type "
        f"'{'/'.join(kinds)}'. The supported api-versions are '{listed}'. The supported locations are '{location}'.",
    )


def _type_of(path: str) -> tuple[str, list[str]]:
    """Namespace and type of what a path names; an empty namespace for Resource Manager's own subscriptions and groups.

    A provider itself (…/providers/Microsoft.X, with or without an action) is a resource of Resource Manager's.
    """
    found = re.split("/providers/", path.rstrip("/"), flags=re.IGNORECASE)
    if len(found) > 2 and found[1].lower() == "microsoft.features":
        return "Microsoft.Features", ["features"]
    if len(found) == 1:
        return "", []
    namespace, *rest = found[-1].split("/")
    if not rest or rest in (["register"], ["unregister"]):
        return "", []
    return namespace, rest[::2]
