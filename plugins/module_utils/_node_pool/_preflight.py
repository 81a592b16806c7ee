# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would go wrong with a node pool, found before anything is written. Pure: facts in, problems out.

Each problem is a sentence that says what to do instead. All of them are returned at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ansible_collections.aks.gpu.plugins.module_utils._azure._vm_sizes import (
    MINIMUM_SIZE,
    vm_size_facts,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import (
    AKS_PREFIX,
    AUTOSCALER,
    BY_OPTION,
    COUNT,
    MAX_COUNT,
    MIN_COUNT,
    Values,
    current_value,
    properties_of,
    values_equal,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._options import (
    EVICTION,
    LABELS,
    MODE,
    OS_SKU,
    PRICE,
    PRIORITY,
    TAINTS,
    VM_SIZE,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._os_skus import LINUX, OS_SKUS
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import Pool
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._stacks import (
    DRIVER,
    GPU_IMAGE_HEADER,
    MANAGED_TAG,
    MANAGEMENT,
    OS_TYPE,
    STACKS,
    TAGS,
    Stack,
    managed_by_tag,
    stack_of,
)

# The pattern that the az CLI applies to --node-taints; AKS itself answers with less.
TAINT = re.compile(
    r"[a-zA-Z\d][\w\-./]{0,252}=([a-zA-Z\d]([\w\-.]{0,61}[a-zA-Z\d])?)?:(NoSchedule|PreferNoSchedule|NoExecute)",
    re.ASCII,
)
LABEL_KEY = re.compile(r"([a-z\d]([a-z\d\-.]{0,251}[a-z\d])?/)?[a-zA-Z\d]([\w\-.]{0,61}[a-zA-Z\d])?", re.ASCII)
LABEL_VALUE = re.compile(r"([a-zA-Z\d]([\w\-.]{0,61}[a-zA-Z\d])?)?", re.ASCII)
SPOT_NODE_LABEL = AKS_PREFIX + "scalesetpriority"
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
NODE_POOL_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
WINDOWS_NAME = re.compile(r"[a-z][a-z0-9]{0,5}")
LARGEST_COUNT = 1000


# --- what the options say by themselves --------------------------------------------------------------------------


def option_problems(values: Values, given: Values, headers: Mapping[str, str]) -> list[str]:
    """Finds what is wrong with options whatever the state of Azure is.

    Args:
        values: The values that the pool will have, as far as they are known.
        given: The options that are set.
        headers: The custom headers.
    """
    problems = _choice_problems(given)
    for taint in given.get(TAINTS, ()):
        if not TAINT.fullmatch(taint):
            problems.append(
                f"node_taints: {taint!r} is no taint that AKS takes. Write key=value:Effect with one of NoSchedule, "
                "PreferNoSchedule, NoExecute; for example sku=gpu:NoSchedule."
            )
    for key, text in given.get(LABELS, {}).items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(text):
            problems.append(
                f"node_labels: {key}={text} is no Kubernetes label: up to 63 letters, digits, '-', '_' and '.', "
                "beginning and ending with a letter or a digit."
            )
        elif key.startswith(AKS_PREFIX) and not (key == SPOT_NODE_LABEL and values.get(PRIORITY) == "Spot"):
            problems.append(
                f"node_labels: {key} is AKS's own: it sets the labels of {AKS_PREFIX} itself and refuses them from "
                "others. Leave it out, or take a key of a domain of yours."
            )
    for name, text in headers.items():
        if not HEADER_NAME.fullmatch(name) or re.search(r"[\r\n]", text):
            problems.append(f"custom_headers: {name!r} can't be sent as an HTTP header.")
    return problems + _count_problems(values, given) + _spot_problems(values, given)


def name_problems(name: str, values: Values) -> list[str]:
    """Finds what is wrong with the name of a pool that is to be created."""
    if values_equal(BY_OPTION[OS_TYPE], values.get(OS_TYPE), "Windows"):
        if not WINDOWS_NAME.fullmatch(name):
            return [
                f"name: {name!r} is no name for a Windows node pool. AKS takes a lower-case letter and up to 5 "
                "lower-case letters and digits."
            ]
    elif not NODE_POOL_NAME.fullmatch(name):
        return [
            f"name: {name!r} is no name for a node pool. AKS takes a lower-case letter and up to 11 lower-case letters "
            "and digits; for example gpunp."
        ]
    return []


def _choice_problems(given: Values) -> list[str]:
    problems = []
    for option, value in given.items():
        row = BY_OPTION[option]
        if row.choices and value not in row.choices:
            problems.append(f"{row.name}: {value!r} is unknown to Azure. It knows {', '.join(row.choices)}.")
    return problems


def _count_problems(values: Values, given: Values) -> list[str]:
    problems = []
    autoscaled = bool(values.get(AUTOSCALER))
    least, most = values.get(MIN_COUNT), values.get(MAX_COUNT)
    smallest = 1 if values.get(MODE) == "System" else 0
    for option in (COUNT, MIN_COUNT, MAX_COUNT):
        number = given.get(option)
        if number is not None and not smallest <= number <= LARGEST_COUNT:
            problems.append(
                f"{BY_OPTION[option].name}: {number} is not between {smallest} and {LARGEST_COUNT}"
                + (", which a pool of mode System may have." if smallest else ", which a node pool may have.")
            )
    if not autoscaled:
        for option in (MIN_COUNT, MAX_COUNT):
            if option in given:
                problems.append(f"{BY_OPTION[option].name} is the autoscaler's: add O(enable_auto_scaling=true).")
        return problems
    if AUTOSCALER in given and (least is None or most is None):
        problems.append("O(enable_auto_scaling=true) needs O(min_count) and O(max_count).")
    if least is not None and most is not None and least > most and {MIN_COUNT, MAX_COUNT} & given.keys():
        problems.append(f"min_count ({least}) is greater than max_count ({most}).")
    return problems


def _spot_problems(values: Values, given: Values) -> list[str]:
    problems = []
    spot = values.get(PRIORITY) == "Spot"
    if not spot:
        problems += [
            f"{BY_OPTION[option].name} is for Spot pools: add O(scale_set_priority=Spot)."
            for option in (EVICTION, PRICE)
            if option in given
        ]
    price = given.get(PRICE)
    if price is not None and price != -1 and price <= 0:
        problems.append(f"spot_max_price: {price} is neither above zero nor -1, which means up to the on-demand price.")
    if spot and given.get(MODE) == "System":
        problems.append("A Spot pool can't have O(mode=System), because its nodes may be evicted. Take O(mode=User).")
    return problems


# --- what a new pool needs besides -------------------------------------------------------------------------------


def creation_problems(values: Values, headers: Mapping[str, str], stack: Stack | None) -> list[str]:
    """Finds what is wrong with a pool that is to be created, as far as its options show it.

    Args:
        values: The options that are set, with those of the stack.
        headers: The custom headers, with those of the stack.
        stack: The stack that was chosen, or None.
    """
    problems = []
    if VM_SIZE not in values:
        problems.append(f"vm_size is needed to create a node pool; {MINIMUM_SIZE} is the smallest GPU size.")
    count, least, most = (values.get(option) for option in (COUNT, MIN_COUNT, MAX_COUNT))
    outside = least is not None and most is not None and count is not None and not least <= count <= most
    if values.get(AUTOSCALER) and outside:
        problems.append(f"count ({count}) is not between min_count ({least}) and max_count ({most}).")
    meant = stack_of(values, headers)
    if meant is not None and stack is not None and meant is not stack:
        problems.append(
            f"gpu_stack: {stack.name} contradicts the other options, which amount to gpu_stack: {meant.name}. A pool "
            "has one GPU stack: two device plugins on a node would hand out each GPU twice."
        )
    elif meant is not None and meant.name == "managed" and _gpu_image(headers):
        problems.append(f"The header {GPU_IMAGE_HEADER} and management_mode: Managed exclude each other.")
    if DRIVER in values and values[DRIVER] == "None" and _gpu_image(headers):
        problems.append(f"The header {GPU_IMAGE_HEADER} brings a driver; gpu_profile.driver: None asks for none.")
    chosen = stack or meant
    return [*problems, *stack_problems(None, values, chosen), *_os_type_problems(values, chosen)]


def _os_type_problems(values: Values, stack: Stack | None) -> list[str]:
    sku = OS_SKUS.get(str(values.get(OS_SKU)).lower())
    if sku is None or sku.os_type == values.get(OS_TYPE, LINUX):
        return []
    if stack is not None and stack.forbids.get(OS_TYPE) == sku.os_type:
        return []  # which is said already
    return [f"os_sku: {sku.name} needs os_type: {sku.os_type}."]


def stack_problems(current: Pool | None, values: Values, stack: Stack | None) -> list[str]:
    """Finds what contradicts a stack.

    Args:
        current: The pool as it is, or None when it is to be created.
        values: The options that are set.
        stack: The stack that was chosen, or the one that the options amount to.
    """
    if stack is None:
        return []
    problems = []
    for option, forbidden in stack.forbids.items():
        row = BY_OPTION[option]
        value = values.get(option)
        if option == OS_TYPE and value is None and str(values.get(OS_SKU)).lower().startswith("windows"):
            value = "Windows"
        where = ""
        if value is None and current is not None and not (option == MANAGEMENT and managed_by_tag(_tags_of(current))):
            value = current_value(row, properties_of(current))
            where = " of the existing pool"
        if value is not None and values_equal(row, value, forbidden):
            text = f"{row.name}: {value}" if not isinstance(value, bool) else f"{row.name}: {str(value).lower()}"
            problems.append(f"{text}{where} excludes gpu_stack: {stack.name}.{_STACK_WAY_OUT.get(option, '')}")
    return problems or _tag_problems(current, values, stack)


def _tag_problems(current: Pool | None, values: Values, stack: Stack) -> list[str]:
    existing = _tags_of(current)
    if stack is STACKS["managed"] or not managed_by_tag(values.get(TAGS, existing)):
        return []
    where = " of the existing pool" if TAGS not in values else ""
    text = f"tags: {MANAGED_TAG}=true{where} means managed GPUs, which excludes gpu_stack: {stack.name}."
    return [text + _STACK_WAY_OUT[MANAGEMENT]]


def _tags_of(current: Pool | None) -> Mapping[str, str]:
    tags: Mapping[str, str] = current_value(BY_OPTION[TAGS], properties_of(current or {}))
    return tags


def retirement_problems(stack: Stack | None, offered: Iterable[str] | None) -> list[str]:
    """Finds that Azure has retired the stack of a pool that is to be created.

    No API tells. But where a subscription can still have a size that was retired before the stack, the stack isn't
    retired yet.

    Args:
        stack: The stack that was chosen, or the one that the options amount to.
        offered: The sizes that the subscription may use in the region, or None when that can't be asked.
    """
    if stack is None or stack.retired is None or offered is None:
        return []
    days = (vm_size_facts(name).retired for name in offered)
    if any(day is not None and day < stack.retired for day in days):
        return []
    return [f"gpu_stack: {stack.name}: {stack.warning} (preflight: false asks Azure nevertheless.)"]


_STACK_WAY_OUT = {
    AUTOSCALER: " Managed GPU nodes have a fixed count: leave the autoscaler off, or take O(gpu_stack=device_plugin).",
    OS_TYPE: " Take os_type: Linux.",
    MANAGEMENT: " It can't be changed in place: choose the other stack, or make a pool of another name.",
    DRIVER: " It can't be changed in place: choose the other stack, or make a pool of another name.",
}


def _gpu_image(headers: Mapping[str, str]) -> bool:
    return stack_of({}, headers) is STACKS["gpu_image"]


# --- what Azure says ---------------------------------------------------------------------------------------------
