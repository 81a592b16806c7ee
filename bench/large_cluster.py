# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a large GPU cluster, made up one by one: nodes of eight GPUs with 30 Pods each.

As large as https://kubernetes.io/docs/setup/best-practices/cluster-large/ has clusters: 5,000 nodes and 150,000 Pods.
The fields are those that a kube-apiserver returns with its defaults, managed fields and a kubelet's status among them,
for size is what costs. No witness for the mix: of the Pods of a node, one is the device plugin, eight hold a GPU each.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

Json = dict[str, Any]

PODS_PER_NODE = 30
GPUS = 8
POOL = "gpunp"
TIME = "2026-08-01T10:00:00Z"
PLUGIN_UID = "6f0e37cc-3d0e-4a5c-9d5e-000000000001"
PLUGIN_IMAGE = "mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v0.18.0"
TOLERATION = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
IMAGES = 50
"""So many a kubelet reports (nodeStatusMaxImages)."""


def uid_of(kind: str, number: int) -> str:
    """Returns a UID that compresses as badly as a real one."""
    digest = hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def node_name(number: int) -> str:
    """Returns the name of a node, as a scale set's instance is called."""
    return f"aks-{POOL}-12345678-vmss{number:06d}"


def node(number: int, *, gpus: int = GPUS) -> Json:
    """Returns a node."""
    name = node_name(number)
    amounts = {"cpu": "96", "ephemeral-storage": "1043401696Ki", "memory": "1857886420Ki", "pods": "250"}
    amounts |= {"hugepages-1Gi": "0", "hugepages-2Mi": "0", "nvidia.com/gpu": str(gpus)}
    conditions = [
        _condition("GPUMissing", "False", "NoGPUMissing", "All GPUs are present"),
        _condition("XIDErrors", "False", "NoXIDErrors", "No XID errors"),
        _condition("NVLinkStatusInactive", "False", "NVLinkStatusActive", "NVLink status is active"),
        _condition("IBLinkFlapping", "False", "NoIBLinkFlapping", "IB link is stable"),
        _condition("KernelDeadlock", "False", "KernelHasNoDeadlock", "kernel has no deadlock"),
        _condition("ReadonlyFilesystem", "False", "FilesystemIsNotReadOnly", "Filesystem is not read-only"),
        _condition("VMEventScheduled", "False", "NoVMEventScheduled", "VM has no scheduled event"),
        _condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        _condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        _condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        _condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]  # fmt: skip
    labels = {
        "accelerator": "nvidia", "agentpool": POOL, "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/instance-type": "Standard_ND96asr_v4", "beta.kubernetes.io/os": "linux",
        "failure-domain.beta.kubernetes.io/region": "westus2", "failure-domain.beta.kubernetes.io/zone": "0",
        "kubernetes.azure.com/accelerator": "nvidia", "kubernetes.azure.com/agentpool": POOL,
        "kubernetes.azure.com/cluster": "MC_myResourceGroup_myAKSCluster_westus2",
        "kubernetes.azure.com/consolidated-additional-properties": uid_of("properties", 0),
        "kubernetes.azure.com/kubelet-identity-client-id": uid_of("identity", 0),
        "kubernetes.azure.com/mode": "user", "kubernetes.azure.com/node-image-version": "AKSUbuntu-2204gen2containerd",
        "kubernetes.azure.com/nodepool-type": "VirtualMachineScaleSets", "kubernetes.azure.com/os-sku": "Ubuntu",
        "kubernetes.azure.com/role": "agent", "kubernetes.azure.com/storageprofile": "managed",
        "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "Standard_ND96asr_v4", "storageprofile": "managed",
        "topology.kubernetes.io/region": "westus2", "topology.kubernetes.io/zone": "0",
    }  # fmt: skip
    image_names = [
        [f"mcr.microsoft.com/oss/kubernetes/image-{each}@sha256:{each:064d}",
         f"mcr.microsoft.com/oss/kubernetes/image-{each}:v1.{each}.0"]
        for each in range(IMAGES)
    ]  # fmt: skip
    return {
        "metadata": {
            "name": name,
            "uid": uid_of("node", number),
            "resourceVersion": "1000",
            "creationTimestamp": TIME,
            "labels": labels,
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "300",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                "csi.volume.kubernetes.io/nodeid": json.dumps(
                    {f"{kind}.csi.azure.com": name for kind in ("disk", "file")}
                ),
            },
            "managedFields": [
                _managed("cloud-node-manager", {f"f:{label}": {} for label in list(labels)[5:12]}),
                _managed("kube-controller-manager", {"f:annotations": {"f:node.alpha.kubernetes.io/ttl": {}}}),
                _managed("kubelet", {f"f:{label}": {} for label in labels}),
                _managed("kubelet", {f'k:{{"type":"{each["type"]}"}}': _fields(each) for each in conditions}),
            ],
        },
        "spec": {
            "podCIDR": "10.244.0.0/24",
            "providerID": f"azure:///subscriptions/{uid_of('subscription', 0)}/virtualMachines/{number}",
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
        },
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": conditions,
            "addresses": [{"type": "InternalIP", "address": "10.224.0.4"}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": uid_of("machine", number), "systemUUID": uid_of("system", number),
                "bootID": uid_of("boot", number), "kernelVersion": "5.15.0-1092-azure", "osImage": "Ubuntu 22.04.5 LTS",
                "containerRuntimeVersion": "containerd://1.7.27-1", "kubeletVersion": "v1.33.3",
                "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
            },
            "images": [{"names": names, "sizeBytes": 123456789} for names in image_names],
        },
    }  # fmt: skip


def pod(number: int, *, running: bool = True) -> Json:
    """Returns a Pod: the first of a node is its device plugin, the next eight hold a GPU each."""
    where, place = divmod(number, PODS_PER_NODE)
    if place == 0:
        return _pod(number, node_name(where), f"nvidia-device-plugin-{number:06d}", "gpu-resources", _plugin(), running)
    if place <= GPUS:
        resources = {"requests": {"cpu": "4", "memory": "32Gi"}, "limits": {"memory": "64Gi", "nvidia.com/gpu": "1"}}
        container = {"name": "trainer", "image": "nvcr.io/nvidia/pytorch:25.06-py3", "resources": resources}
        return _pod(number, node_name(where), f"train-{number:06d}", "training", container, True)
    container = {"name": "server", "image": "myregistry.azurecr.io/team/server:1.2.3", "resources": {}}
    return _pod(number, node_name(where), f"server-{number:06d}", f"team-{number % 97}", container, True)


def daemon_set() -> Json:
    """Returns the device plugin's DaemonSet."""
    return {
        "metadata": {"name": "nvidia-device-plugin", "namespace": "gpu-resources", "uid": PLUGIN_UID},
        "spec": {"template": {"metadata": {}, "spec": {"tolerations": [TOLERATION], **_plugin_spec(_plugin())}}},
    }


def _plugin() -> Json:
    return {
        "name": "nvidia-device-plugin-ctr",
        "image": PLUGIN_IMAGE,
        "env": [{"name": "FAIL_ON_INIT_ERROR", "value": "false"}],
        "resources": {},
        "volumeMounts": [{"name": "device-plugin", "mountPath": "/var/lib/kubelet/device-plugins"}],
    }


def _plugin_spec(container: Json) -> Json:
    volume = {"name": "device-plugin", "hostPath": {"path": "/var/lib/kubelet/device-plugins", "type": ""}}
    return {"containers": [container], "volumes": [volume]}


def _pod(number: int, where: str, name: str, namespace: str, container: Json, running: bool) -> Json:
    account = {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    mounts = [*container.get("volumeMounts", ()), {**account, "readOnly": True}]
    main = {
        "env": [{"name": f"SETTING_{each}", "value": f"value-{each}"} for each in range(6)],
        **container,
        "volumeMounts": mounts,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    is_plugin = container["image"] == PLUGIN_IMAGE
    projected = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    volume = {"name": "kube-api-access", "projected": {"sources": projected, "defaultMode": 420}}
    plugin_volumes = _plugin_spec(container)["volumes"] if is_plugin else []
    passing = [
        {"key": f"node.kubernetes.io/{each}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for each in ("not-ready", "unreachable")
    ]
    state: Json = {"running": {"startedAt": TIME}} if running else {"waiting": {"reason": "ContainerCreating"}}
    digest = hashlib.sha256(name.encode()).hexdigest()
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": TIME, "observedGeneration": 1}
        for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    return {
        "metadata": {
            "name": name,
            "generateName": name[:-6],
            "namespace": namespace,
            "uid": uid_of("pod", number),
            "resourceVersion": str(2000 + number),
            "generation": 1,
            "creationTimestamp": TIME,
            "labels": {"app": name[:-7], "pod-template-hash": "5d8b7c9f6d", "team": namespace},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "DaemonSet" if is_plugin else "ReplicaSet",
                    "name": name[:-7],
                    "uid": PLUGIN_UID if is_plugin else uid_of("owner", number // 10),
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
            "managedFields": [
                _managed("kube-controller-manager", {f"f:{key}": {} for key in [*main, "f:metadata", *range(25)]}),
                _managed("kubelet", {f'k:{{"type":"{each["type"]}"}}': _fields(each) for each in conditions}),
            ],
        },
        "spec": {
            "volumes": [*plugin_volumes, volume],
            "containers": [main],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "nodeName": where,
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [*passing, TOLERATION],
            "priority": 0,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {
            "phase": "Running" if running else "Pending",
            "observedGeneration": 1,
            "conditions": conditions,
            "hostIP": "10.224.0.4",
            "hostIPs": [{"ip": "10.224.0.4"}],
            "podIP": f"10.244.{number % 250}.{number // 250 % 250}",
            "podIPs": [{"ip": f"10.244.{number % 250}.{number // 250 % 250}"}],
            "startTime": TIME,
            "containerStatuses": [
                {
                    "name": main["name"],
                    "state": state,
                    "lastState": {},
                    "ready": running,
                    "restartCount": 0,
                    "image": main["image"],
                    "imageID": f"{main['image']}@sha256:{digest}",
                    "containerID": f"containerd://{digest[::-1]}",
                    "started": running,
                    "volumeMounts": mounts,
                }
            ],
            "qosClass": "Burstable",
        },
    }


def _condition(kind: str, status: str, reason: str, message: str) -> Json:
    times = {"lastHeartbeatTime": TIME, "lastTransitionTime": TIME}
    return {"type": kind, "status": status, **times, "reason": reason, "message": message}


def _managed(manager: str, fields: Json) -> Json:
    entry = {"manager": manager, "operation": "Update", "apiVersion": "v1", "time": TIME, "fieldsType": "FieldsV1"}
    return {**entry, "fieldsV1": {"f:metadata": fields}}


def _fields(found: Json) -> Json:
    return {".": {}, **{f"f:{key}": {} for key in found}}
