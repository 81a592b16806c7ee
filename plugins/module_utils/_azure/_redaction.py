# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a recording may say of an exchange with Resource Manager: Azure's vocabulary, and stand-ins for all else.

A text is kept because it is recognised, never because nothing speaks against it: in the fields that hold Azure's words
(states, codes, sizes, versions, types), and elsewhere only where it is a number, a time, a version or the like. Names,
ids, addresses and unknown texts become stand-ins such as ``cluster-1``, the same ones throughout a recording; secrets
become ``REDACTED``.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ansible_collections.aks.gpu.plugins.module_utils._azure._cloud import CLOUDS

REDACTED = "REDACTED"

KINDS = {
    "accounts": "monitor-workspace",
    "agentpools": "pool",
    "datacollectionendpoints": "endpoint",
    "datacollectionruleassociations": "association",
    "datacollectionrules": "rule",
    "managedclusters": "cluster",
    "resourcegroups": "group",
    "subnets": "subnet",
    "subscriptions": "subscription",
    "userassignedidentities": "identity",
    "virtualmachinescalesets": "scale-set",
    "virtualnetworks": "network",
    "workspaces": "workspace",
}
"""What a stand-in is called, by the resource type (lower case)."""

AZURES_NAMES = {"features", "locations", "usages"}
"""Types whose resources are named by Azure (lower case)."""

WORD_FIELDS = frozenset(
    # The properties of the containerservice API 2026-08-01 that are enumerations, as azure-mgmt-containerservice 41.8.0
    # declares them; a test compares.
    "accelerationMode adoptionPolicy advancedNetworkPolicies artifactSource backendPoolType code "
    "containerNetworkLogs createdByType day dayOfWeek defaultIngressControllerType defaultNodePools deletePolicy "
    "driver egress expander family forwardDestination forwardPolicy gpuInstanceProfile infrastructureEncryption "
    "ingress installation ipFamilies keyVaultNetworkAccess kubeletDiskType lastModifiedByType licenseType "
    "loadBalancerSku managementMode mode networkDataplane networkMode networkPlugin networkPluginMode "
    "networkPolicy nodeOSUpgradeChannel osDiskType osSKU osSku osType outboundType podIPAllocationMode protocol "
    "provisioningState proxyRedirectionMechanism publicNetworkAccess queryLogging restrictionLevel scaleDownMode "
    "scaleSetEvictionPolicy scaleSetPriority schedulerConfigMode serveStale sku snapshotType sshAccess state "
    "supportPlan tier type undrainableNodeBehavior upgradeChannel weekIndex workloadRuntime "
    # What else Azure words: versions, sizes, regions, codes, types.
    "availabilityZones currentKubernetesVersion currentOrchestratorVersion driverType kind kubernetesVersion location "
    "locations maxSurge maxUnavailable migStrategy nodeImageVersion orchestratorVersion registrationPolicy "
    "registrationState resourceType size subcode unit upgradeStrategy version versions vmSize "
    "zones".lower().split()
)
"""Fields that hold Azure's words (lower case)."""

TEXT_FIELDS = {"message", "status", "localizedvalue", "error_description"}
"""Fields that hold sentences of Azure (lower case). What an operation's status is while it runs is one, too."""

LABEL_FIELDS = {"tags", "nodelabels", "labels", "podlabels", "annotations"}
"""Fields that hold maps of the user's own keys and values (lower case)."""

TAINT_FIELDS = {"nodetaints", "nodeinitializationtaints"}

NAME_FIELDS = {"agentpoolprofiles": "pool", "noderesourcegroup": "group"}
"""What a name is called that stands in this field, or whose parent is it (lower case)."""

ENVELOPE = {
    "code", "count", "details", "error", "id", "identity", "kind", "location", "message", "mode", "name",
    "properties", "sku", "state", "status", "tags", "type", "value"
}  # fmt: skip
"""Names of fields (lower case) that stay even where something of the user's is called so."""

KNOWN_LABELS = {
    ("aks.gpu.created-by", "aks.gpu"),
    ("kubernetes.azure.com/accelerator", "nvidia"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
    ("sku", "gpu"),
}
"""Labels, tags and taints that are Azure's, the article's or this collection's."""

EFFECTS = {"NoSchedule", "PreferNoSchedule", "NoExecute"}

_DATE = r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT|-?\d{1,10}"
_MEDIA = r"[a-z*]{1,20}/[a-z*.+-]{1,40}(?:; ?charset=[A-Za-z0-9-]{1,12})?"
_DIRECTIVES = r"[A-Za-z]{1,20}(?:[-_][A-Za-z]{1,20})*(?:=\d{1,10})?"
KEPT_HEADERS = {
    **dict.fromkeys(("content-type", "accept"), re.compile(rf"(?:{_MEDIA})(?:, ?{_MEDIA})*")),
    **dict.fromkeys(("content-length", "date", "expires", "last-modified", "retry-after"), re.compile(_DATE)),
    **dict.fromkeys(
        (
            "accept-encoding",
            "cache-control",
            "connection",
            "content-encoding",
            "pragma",
            "strict-transport-security",
            "transfer-encoding",
            "vary",
            "x-cache",
            "x-content-type-options",
            "x-ms-failure-cause",
        ),
        re.compile(rf"{_DIRECTIVES}(?:[;,] ?{_DIRECTIVES})*"),
    ),
}
"""What is kept of headers (lower case) of HTTP and of Azure's front door."""

TEXT_HEADERS = {"x-ms-operation-identifier", "x-ms-routing-request-id", "akshttpcustomfeatures"}
URL_HEADERS = {"azure-asyncoperation", "location", "operation-location", "content-location"}

_SECRET_FIELD = re.compile(
    r"pass(word|phrase)|secret|token|credential|certificate|connectionstring|assertion|kubeconfig|signature"
    r"|keys?$|keydata$|^(value|command|context|logs|customdata|userdata|trustedca)$",
    re.IGNORECASE,
)
_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|key|signature|password|msedge", re.IGNORECASE)
_MESSAGE_HOSTS = {"aka.ms", "learn.microsoft.com", "docs.microsoft.com", "go.microsoft.com"}
_MANAGEMENT_HOSTS = {urlsplit(cloud.resource_manager).netloc for cloud in CLOUDS.values()}

_REGION = re.compile(
    r"(?:australia|brazil|canada|central|chile|china|east|france|germany|indonesia|israel|italy|japan|jioindia|korea"
    r"|malaysia|mexico|newzealand|north|norway|poland|qatar|south|southeast|spain|sweden|switzerland|taiwan|uae|uk|us"
    r"|usgov|usdod|west)"
    r"(?:africa|arizona|asia|australia|austria|brazil|canada|central|dod|east|europe|france|germany|gov|india|indonesia"
    r"|israel|italy|japan|korea|malaysia|mexico|north|norway|poland|qatar|south|southeast|spain|sweden|switzerland|taiwan"
    r"|texas|uae|uk|us|virginia|west|westcentral|northcentral|southcentral)+[0-9]?",
    re.IGNORECASE,
)
"""The names of Azure's regions, put together of these words."""

_PLAIN = re.compile(
    r"""
      [-+]?\d{1,9}(?:[.,]\d{1,15}){0,2}%?                         # numbers, versions
    | v?\d{1,4}\.\d{1,4}(?:\.\d{1,6})?                            # versions
    | \d{4}-\d\d-\d\d(?:-preview)?                                # dates, API versions
    | \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?(?:Z|[+-]\d\d:\d\d)?
    | \d{8}T\d{6}Z
    | P(?:\d{1,4}[YMWD])*(?:T(?:\d{1,4}[HMS])+)?                  # durations of ISO 8601
    | \d{1,6}(?:ms|s|m|h|d|[KMGT]i?B?|GB|GiB|MB|MiB|m?CPU)        # durations, quantities
    | Microsoft-[A-Za-z]{1,40}                                    # streams of Azure Monitor
    | [Tt]rue | [Ff]alse | [Nn]one | msi | system
    | (?:Standard|Basic)_[A-Z]{1,3}[0-9]{1,3}[A-Za-z0-9_]{0,40}   # VM sizes
    | (?:properties|agentPoolProfiles?)(?:\[\d+\])?(?:\.[A-Za-z]{1,40}(?:\[\d+\])?){1,5}
    """,
    re.VERBOSE,
)
"""Texts that are Azure's or a plain value wherever they stand."""

_KNOWN_WORD = re.compile(r"[A-Za-z0-9]+(?:[ ._/+-][A-Za-z0-9()]+)*%?")
_LONGEST_WORD = 80
_CATALOGUE_TEXT = re.compile(r"[A-Za-z0-9 .,*/()_+%&'#-]{1,200}")
_CATALOGUES = re.compile(
    r"/subscriptions/[^/]+/providers/(?:Microsoft\.[A-Za-z]+(?:/register)?|Microsoft\.Compute/skus"
    r"|Microsoft\.Compute/locations/[^/]+/usages|Microsoft\.Features/providers/Microsoft\.[A-Za-z]+/features/[^/]+(?:/\w+)?)"
    r"|/.*/providers/Microsoft\.Authorization/permissions",
    re.IGNORECASE,
)
"""What describes Azure itself: providers, features, sizes, quotas, permissions."""

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{20,128}(?![0-9A-Za-z])")
_LONG = re.compile(r"[A-Za-z0-9+/]{30,}")
_JOINED = re.compile(r"[A-Za-z0-9_-]{30,}")
_CODE_WORD = re.compile(r"[a-z]*(?:[A-Z]{1,8}[a-z]{2,30})*[A-Z]{0,4}")
_ONE_CASE = re.compile(r"[0-9a-z]{0,29}|[0-9A-Z]{0,29}")
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}")

_HOST = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+(?::\d+)?")
_ID = re.compile(r"/?(?:subscriptions|resourcegroups|providers)/", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_IDENTIFIER = re.compile(r"[A-Za-z@$][A-Za-z0-9._-]{0,63}")
_NAMESPACE = re.compile(r"microsoft\.[a-z.]{2,60}", re.IGNORECASE)
_TYPES = (
    set(KINDS) - {"accounts"}
    | {"read", "write", "delete", "action", "register", "providers", "features", "locations", "operations"}
    | {"listclusterusercredential", "listclusteradmincredential", "runcommand", "abort", "start", "stop", "join"}
    | {"skus", "usages", "permissions", "metrics", "virtualmachines", "disks", "loadbalancers", "publicipaddresses"}
)
"""Words that stay in a type or an action such as ``Microsoft.ContainerService/managedClusters/read`` (lower case)."""

_BREAKS = r"""\s'"`\u201c\u201d(){}\[\],;:=<>|!?\\"""
"""What ends a word, within the brackets of a pattern."""

_TEXT_PART = re.compile(
    r"""
      (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?Z?)
    | (?P<url>[A-Za-z][A-Za-z0-9+.-]*://[^\s'"`<>|\\]+)
    | (?P<id>/?(?<![A-Za-z0-9])(?:subscriptions|resourcegroups|providers)/[^\s'"`<>,;|\\]+)
    | (?P<six>(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,}[0-9A-Fa-f:.]*)
    | (?P<labelled>(?<![A-Za-z])(?:resource\ ?(?:name|group)|agent\ ?pool|node\ ?pool|(?:managed\ ?)?cluster|pod|node
        |namespace|user|principal|name)\s*[:=]\s*[^\s'"`<>,;|\\:=]+)
    | (?P<quoted>(?<![A-Za-z0-9])(?:'[^']*'|"[^"]*"|`[^`]*`|\u201c[^\u201d]*\u201d)(?![A-Za-z0-9]))
    | (?P<word>"""
    + rf"[^{_BREAKS}]+(?:\([^{_BREAKS}]*\)[^{_BREAKS}]*)*)",
    re.VERBOSE | re.IGNORECASE,
)
_ENGLISH = re.compile(r"[A-Za-z]+(?:\(s\)|['\u2019][a-z]{1,2})?")
_HYPHENATED = {"in-progress", "low-priority", "non-zero", "if-match", "if-none-match", "x-ms-request-id", "min-count"}
_ERROR_WORD = re.compile(r"(?:ErrCode|SubCode|Get|Put|Delete|Post)[A-Za-z]*_[A-Za-z_]+|Standard[A-Za-z0-9_]*Family")
_SPLIT_NAME = re.compile(r"[-_.]+")
_SHORTEST_PART = 3
"""Names of fewer characters are only looked for as whole words in a text."""


class Names:
    """The stand-ins of one recording. What they stand for is kept as keyed digests only.

    Args:
        state: What ``state`` returned before, or None for a new recording.

    Attributes:
        seen: The stand-ins of this exchange by what they stand for (case folded); never written anywhere.
        grown: Whether there are new ones.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {"key": secrets.token_hex(32), "stand_ins": {}, "counts": {}}
        self._key = str(state["key"])
        self._stand_ins: dict[str, str] = dict(state["stand_ins"])
        self._counts: dict[str, int] = dict(state["counts"])
        self.seen: dict[str, str] = {}
        self.grown = False

    def state(self) -> dict[str, Any]:
        """Returns what another process needs to go on with, for JSON."""
        return {"key": self._key, "stand_ins": self._stand_ins, "counts": self._counts}

    def find(self, value: str) -> str | None:
        """Returns the stand-in of a value, or None when it has none. Letter case is ignored, as Azure does."""
        return self._stand_ins.get(self._digest(value))

    def of(self, value: str, kind: str, form: Callable[[int], str] | None = None) -> str:
        """Returns the stand-in of a value; a new value gets a new one.

        Args:
            value: The name, id or text.
            kind: What it is called, such as ``cluster``.
            form: Makes the stand-in of its number; by default ``KIND-NUMBER``.
        """
        digest = self._digest(value)
        if digest not in self._stand_ins:
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            self._stand_ins[digest] = form(number) if form else f"{kind}-{number}"
            self.grown = True
        found = self.seen[value.casefold()] = self._stand_ins[digest]
        return found

    def _digest(self, value: str) -> str:
        folded = value.casefold().encode("utf-8", "replace")
        return hmac.new(self._key.encode(), folded, hashlib.sha256).hexdigest()[:32]


def redacted(entry: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Returns an exchange as it may be recorded.

    Args:
        entry: ``method``, ``url``, ``request_headers``, ``request_body``, ``status``, ``response_headers``,
            ``response_body``; bodies as parsed JSON, as text where they are not JSON, None where there is none.
        names: The stand-ins of the recording.
    """
    names.seen = {}
    _learn([entry["url"], entry["request_body"], entry["response_body"]], names)
    redacted = _exchange(entry, names)
    # A text may name what only a later field shows to be a name.
    return _exchange(entry, names) if names.seen else redacted


def _exchange(entry: Mapping[str, Any], names: Names) -> dict[str, Any]:
    path = urlsplit(entry["url"]).path.rstrip("/")
    describes_azure = entry["status"] < 300 and _CATALOGUES.fullmatch(path) is not None
    return {
        **entry,
        "url": url(entry["url"], names),
        "request_headers": headers(entry["request_headers"], names),
        "request_body": _body(entry["request_body"], names),
        "response_headers": headers(entry["response_headers"], names),
        "response_body": _body(entry["response_body"], names, describes_azure=describes_azure),
    }


def _learn(value: Any, names: Names) -> None:
    """Gives names their stand-ins by the ids in which they stand, for an id says what each of them is."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            _learn(key, names)
            _learn(each, names)
    elif isinstance(value, list):
        for each in value:
            _learn(each, names)
    elif isinstance(value, str) and (_ID.match(value) or _URL.match(value)):
        _plain_text(value, names)


# --- URLs, ids, headers --------------------------------------------------------------------------------------------


def url(text: str, names: Names) -> str:
    """Returns a URL without names; of another host than Resource Manager, without its path as well."""
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").lower()
    except ValueError:
        return REDACTED
    if host in _MESSAGE_HOSTS:
        return f"{parts.scheme}://{host}{parts.path}"
    known = any(host == own or host.endswith(f".{own}") for own in _MANAGEMENT_HOSTS)
    where = host if known else names.of(parts.netloc.rpartition("@")[2], "host")
    if parts.netloc and not known and parts.hostname:
        names.seen[parts.hostname.casefold()] = where
    path = parts.path
    if _ID.match(path) or path.rstrip("/").lower() == "/subscriptions":
        path = resource_id(path, names)
    elif path.strip("/"):
        path = f"/{REDACTED}"
    return f"{parts.scheme}://{where}{path}{_query(parts.query)}"


def _query(text: str) -> str:
    if not text:
        return ""
    kept = {"api-version": r"\d{4}-\d\d-\d\d(?:-preview)?", "$filter": r"location eq '[a-z0-9]+'"}
    pairs = [
        (name if _IDENTIFIER.fullmatch(name) else REDACTED, value)
        for name, value in parse_qsl(text, keep_blank_values=True)
    ]
    shown = [
        (name, value if re.fullmatch(kept.get(name, r"true|false|\d{1,6}|"), value) else REDACTED)
        for name, value in pairs
    ]
    return "?" + urlencode(shown, quote_via=quote, safe="$'")


def resource_id(text: str, names: Names) -> str:
    """Returns an ARM id, or the path of a request, with stand-ins for the names in it."""
    path, _mark, query = text.partition("?")
    segments = path.split("/")
    shown: list[str] = []
    awaited = ""  # the type whose resource comes next
    in_provider = False
    for segment in segments:
        word = segment.lower()
        if not segment:
            shown.append("")
        elif awaited == "providers":
            shown.append(segment if _NAMESPACE.fullmatch(segment) else _redact_name(segment, "provider", names))
            awaited, in_provider = "", True
        elif awaited:
            shown.append(_named_as(segment, awaited, names))
            awaited = ""
        elif word in ("subscriptions", "resourcegroups", "providers"):
            shown.append(segment)
            awaited, in_provider = word, False
        elif re.fullmatch(r"[A-Za-z]{1,60}", segment) and (in_provider or word in AZURES_NAMES):
            shown.append(segment)
            awaited = word
        else:
            shown.append(_redact_name(segment, "text", names))
    return "/".join(shown) + _query(query)


def _named_as(segment: str, resource_type: str, names: Names) -> str:
    if resource_type in AZURES_NAMES and re.fullmatch(r"[A-Za-z0-9]{1,60}", segment):
        return segment
    return _redact_name(segment, KINDS.get(resource_type, "resource"), names)


def _redact_name(segment: str, kind: str, names: Names) -> str:
    name = unquote(segment)
    numbered = _without_numbers(name, names)
    return numbered if numbered != name and _is_number(name) else names.of(name, kind)


def _is_number(text: str) -> bool:
    return (_GUID.fullmatch(text) or _HEX.fullmatch(text)) is not None


def _without_numbers(text: str, names: Names) -> str:
    """Returns a text with stand-ins for GUIDs and long hexadecimal numbers, of the same form."""
    text = _GUID.sub(
        lambda found: names.of(found[0], "guid", lambda number: f"00000000-0000-0000-0000-{number:012}"), text
    )
    return _HEX.sub(lambda found: _hex_stand_in(found[0], names), text)


def _hex_stand_in(text: str, names: Names) -> str:
    return names.of(text, f"hex{len(text)}", lambda number: f"{number:0{len(text)}}")


def headers(values: Mapping[str, str], names: Names) -> dict[str, str]:
    """Returns headers without secrets and names; their own names are those of HTTP and Azure."""
    return {name: _redact_header(name.lower(), str(value), names) for name, value in values.items()}


def _redact_header(name: str, value: str, names: Names) -> str:
    if _SECRET_HEADER.search(name):
        return REDACTED
    if name in URL_HEADERS:
        return _plain_text(value, names)
    if name == "user-agent":
        return value.partition(" ")[0] if value.startswith("ansible-aks.gpu") else REDACTED
    if name in TEXT_HEADERS:
        return text_of(value, names)
    if name in KEPT_HEADERS:
        is_plain = KEPT_HEADERS[name].fullmatch(value) is not None and not _is_opaque(value)
        return value if is_plain or not value else REDACTED
    if name in ("etag", "if-match", "if-none-match"):
        return _etag(value, names)
    return _plain_text(value, names)


def _etag(value: str, names: Names) -> str:
    bare = value.removeprefix("W/").strip('"')
    return value if bare in ("", "*") else value.replace(bare, _plain_text(bare, names))


# --- bodies --------------------------------------------------------------------------------------------------------


def _body(value: Any, names: Names, *, describes_azure: bool = False) -> Any:
    if isinstance(value, str):
        return f"{REDACTED}: {len(value)} characters that are not JSON"
    if describes_azure:
        return _describe_value(value, names)
    return _value(value, "", "", names)


def _describe_value(value: Any, names: Names) -> Any:
    """Returns what describes Azure itself: its words stay, whatever the field."""
    if isinstance(value, Mapping):
        return {str(key): _describe_value(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_describe_value(each, names) for each in value]
    if not isinstance(value, str):
        return value
    if _ID.match(value) or _URL.match(value) or _is_number(value):
        return _plain_text(value, names)
    return value if _CATALOGUE_TEXT.fullmatch(value) and not _betrays(value) else text_of(value, names)


def _value(value: Any, field: str, parent: str, names: Names) -> Any:
    """Returns a part of a body.

    Args:
        value: The part.
        field: The field that holds it, in lower case; that of the list for an element.
        parent: The field that holds the object.
        names: The stand-ins of the recording.
    """
    if field in LABEL_FIELDS and isinstance(value, Mapping):
        return dict(_label(str(key), each, names) for key, each in value.items())
    if isinstance(value, Mapping):
        return {
            _redact_key(str(key), names): _value(each, str(key).lower(), field, names) for key, each in value.items()
        }
    if isinstance(value, list):
        return [_value(each, field, field if isinstance(each, Mapping) else parent, names) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_FIELD.search(field):
        return value if value in ("", "true", "false") else REDACTED
    return _string(value, field, parent, names) if isinstance(value, str) else value


def _string(value: str, field: str, parent: str, names: Names) -> str:
    if field in TAINT_FIELDS:
        return _redact_taint(value, names)
    if field in TEXT_FIELDS:
        return text_of(value, names)
    if field == "etag":
        return _etag(value, names)
    is_word = field in WORD_FIELDS or (field == "name" and parent in ("sku", "kubeconfigs"))
    if is_word and len(value) <= _LONGEST_WORD and _KNOWN_WORD.fullmatch(value) and not _betrays(value):
        return value
    kind = NAME_FIELDS.get(parent if field == "name" else field, "name" if field == "name" else "text")
    return _plain_text(value, names, kind)


def _redact_key(key: str, names: Names) -> str:
    """Returns the name of a field; ids are such names, too, and what is not an identifier is somebody's."""
    if key.lower() in ENVELOPE:
        return key
    if _ID.match(key) or names.find(key) is not None or _betrays(key) or not _IDENTIFIER.fullmatch(key):
        return _plain_text(key, names, "key")
    return key


def _label(key: str, value: Any, names: Names) -> tuple[str, Any]:
    if (key, value) in KNOWN_LABELS:
        return key, value
    return names.of(key, "label"), names.of(value, "value") if isinstance(value, str) and value else value


def _redact_taint(text: str, names: Names) -> str:
    pair, _colon, effect = text.rpartition(":")
    key, equals, value = pair.partition("=")
    if effect not in EFFECTS or not key:
        return names.of(text, "text") if text else text
    if (key, value) in KNOWN_LABELS:
        return text
    return f"{names.of(key, 'label')}{equals}{names.of(value, 'value') if value else ''}:{effect}"


def _betrays(text: str) -> bool:
    """Says that a text holds an id, an address or what may be a key, whatever else it looks like."""
    if _GUID.search(text) or _HEX.search(text) or _is_opaque(text) or "@" in text:
        return True
    return any(_address(part) or _is_host(part) for part in re.split(r"[\s,;='\"()/]+", text))


def _is_host(text: str) -> bool:
    """Says that a text may be the name of a host; a namespace and a version may not."""
    labels = text.split(".")
    if labels[0].lower() == "microsoft" or not _HOST.fullmatch(text):
        return False
    return re.fullmatch(r"[A-Za-z]{2,}(?::\d+)?", labels[-1]) is not None


def _is_opaque(text: str) -> bool:
    """Says that a text has as many letters and digits in a row as keys, tokens and encoded files have.

    Long codes such as ``OverconstrainedZonalAllocationRequest`` have them, too, but are put together of words, and
    versions such as ``AKSUbuntu-2204gen2containerd-202506.16.0`` of words and numbers.
    """
    if _TOKEN.search(text):
        return True
    parts = [part for run in _LONG.findall(text) for part in run.split("/")]
    if any(not _CODE_WORD.fullmatch(part) for part in parts):
        return True
    parts = [part for run in _JOINED.findall(text) for part in re.split(r"[-_]", run)]
    return any(not (_CODE_WORD.fullmatch(part) or _ONE_CASE.fullmatch(part)) for part in parts)


def _address(text: str) -> bool:
    """Says that a text is an IP address, or a network of them."""
    if "." not in text and ":" not in text:
        return False
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def _plain_text(value: str, names: Names, kind: str = "text") -> str:
    """Returns a text that stands for itself, where it is not known to be a word of Azure's."""
    if not value:
        return value
    if _URL.match(value):
        return url(value, names)
    if _ID.match(value):
        return resource_id(value, names)
    if _is_number(value):
        return _without_numbers(value, names)
    known = names.find(value)
    if known is not None:
        return names.of(value, kind)
    if kind != "name" and _PLAIN.fullmatch(value):
        return value
    return _stand_in(value, names, kind)


def _stand_in(value: str, names: Names, kind: str = "text") -> str:
    if _is_opaque(value) or "PRIVATE KEY" in value:
        return REDACTED
    if re.fullmatch(r"[^\s@]+@[^\s@]+", value):
        kind = "user"
    elif _address(value):
        kind = "address"
    elif kind == "text" and _HOST.fullmatch(value):
        kind = "host"
    return names.of(value, kind)


# --- sentences -----------------------------------------------------------------------------------------------------


def text_of(text: str, names: Names) -> str:
    """Returns a sentence of Azure with stand-ins for ids, names, addresses and for what is quoted."""
    start = text.find("{")
    if start >= 0:
        try:
            inner, length = json.JSONDecoder().raw_decode(text[start:])
        except ValueError:
            pass
        else:
            shown = json.dumps(_value(inner, "", "", names), separators=(",", ":"))
            return text_of(text[:start], names) + shown + text_of(text[start + length :], names)
    return _TEXT_PART.sub(lambda found: _part(found, names), text)


def _part(found: re.Match[str], names: Names) -> str:
    part = found[0]
    kind = str(found.lastgroup)
    if kind == "time":
        return part
    if kind == "labelled":
        name = re.split(r"[:=]\s*", part)[1]
        bare, end = _without_stop(name)
        return part[: -len(name)] + _plain_text(bare, names, "name") + end
    if kind == "quoted":
        return part[0] + _redact_quoted(part[1:-1], names) + part[-1]
    bare, end = _without_stop(part)
    if kind == "url":
        return url(bare, names) + end
    if kind == "id":
        return resource_id(bare, names) + end
    if kind == "six":
        return names.of(part, "address") if _address(part) else _words(part, names)
    return _words(part, names)


def _without_stop(text: str) -> tuple[str, str]:
    """Returns a text without the full stop or the parenthesis that belongs to its sentence, and that."""
    bare = text.rstrip(".…")
    if bare.endswith(")") and bare.count(")") > bare.count("("):
        bare = bare.rstrip(")")
    return bare, text[len(bare) :]


def _words(text: str, names: Names) -> str:
    parts = text.split("/")
    shown = [_one_word(part, names) for part in parts]
    if shown != parts:  # a name among them: then the others are names as well, such as a Pod's namespace
        shown = [names.of(part, "text") if _ENGLISH.fullmatch(part) else part for part in shown]
    return "/".join(shown)


def _one_word(word: str, names: Names) -> str:
    bare = word.strip(".…*#&~^$-\u2013\u2014")
    if not bare:
        return word
    before, _found, after = word.partition(bare)
    return before + _bare_word(bare, names) + after


def _bare_word(word: str, names: Names) -> str:
    known = names.find(word)
    if known is not None:
        return known
    if _is_number(word):
        return _without_numbers(word, names)
    if _is_azures(word) or word.lower() in _HYPHENATED:
        return word
    if _ENGLISH.fullmatch(word) or _ERROR_WORD.fullmatch(word):
        return _stand_in(word, names) if _is_opaque(word) or _holds_name(word, names) else word
    numbered = _without_numbers(word, names)
    if numbered != word and re.fullmatch(r"[a-z]{2,4}[_-]", _HEX.sub("", _GUID.sub("", word))):
        return numbered
    return _stand_in(word, names)


def _is_azures(word: str) -> bool:
    if _address(word):
        return False
    namespace, _slash, rest = word.partition("/")
    if _NAMESPACE.fullmatch(namespace):
        return all(part.lower() in _TYPES for part in rest.split("/") if part)
    return (_PLAIN.fullmatch(word) or _REGION.fullmatch(word)) is not None


def _holds_name(word: str, names: Names) -> bool:
    """Says that a word holds a name of this exchange, or is put together with one of the recording."""
    folded = word.casefold()
    if any(len(name) >= _SHORTEST_PART and name in folded for name in names.seen if name.isalnum()):
        return True
    return any(names.find(part) for part in _SPLIT_NAME.split(word) if len(part) >= _SHORTEST_PART)


def _redact_quoted(text: str, names: Names) -> str:
    """Returns what a sentence quotes: mostly a name, so that only what is surely Azure's stays."""
    known = names.find(text)
    if known is not None:
        return known
    if not text.strip() or _is_azures(text):
        return text
    namespace, slash, rest = text.partition("/")
    if _NAMESPACE.fullmatch(namespace) and slash:
        parts = [part if part.lower() in _TYPES else _plain_text(part, names) for part in rest.split("/")]
        return "/".join([namespace, *parts])
    return _plain_text(text, names)
