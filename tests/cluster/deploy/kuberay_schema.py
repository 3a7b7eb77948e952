"""The fields of KubeRay's RayCluster and RayJob, version v1, that our manifests use or may use, as JSON Schema.

KubeRay's own definitions are megabytes of Kubernetes' pod specification. This is written after those of KubeRay 1.6 and
1.7; what is not listed here is refused, so that a misspelled field does not pass. Where `COLORIZE_TEST_CRDS` names a
folder with the definitions themselves (`ray.io_*.yaml` of the operator's chart), test_kuberay.py checks by these too.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
YES_OR_NO: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer", "format": "int32", "minimum": 0}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Schema = {"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
NAME: Schema = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}


def a(*required: str, **fields: Schema) -> Schema:
    """An object with these fields and no others."""
    return {"type": "object", "required": list(required), "properties": fields, "additionalProperties": False}


def some(item: Schema) -> Schema:
    """A list with at least one of these."""
    return {"type": "array", "items": item, "minItems": 1}


def one_of(*choices: str) -> Schema:
    """One of these words."""
    return {"enum": list(choices)}


METADATA = a("name", name=NAME | {"maxLength": 47}, namespace=NAME, labels=TEXTS, annotations=TEXTS)
RESOURCES = a(
    limits={"type": "object", "additionalProperties": QUANTITY},
    requests={"type": "object", "additionalProperties": QUANTITY},
)
CONTAINER_SECURITY = a(allowPrivilegeEscalation=YES_OR_NO, capabilities=a(drop=some(TEXT)))
FROM_SECRET = a("valueFrom", valueFrom=a("secretKeyRef", secretKeyRef=a("name", "key", name=TEXT, key=TEXT)))
TEMPLATE: Schema = {"type": "object"}
"""A pod template, for which Kubernetes has a schema of its own."""
HEAD = a("template", rayStartParams=TEXTS, serviceType=one_of("ClusterIP"), template=TEMPLATE)
WORKERS = a(
    "groupName",
    "maxReplicas",
    "minReplicas",
    "template",
    groupName=NAME,
    replicas=NUMBER,
    minReplicas=NUMBER,
    maxReplicas=NUMBER,
    idleTimeoutSeconds=NUMBER,
    rayStartParams=TEXTS,
    template=TEMPLATE,
)
CLUSTER = a(
    "rayVersion",
    "headGroupSpec",
    "workerGroupSpecs",
    rayVersion=TEXT,
    authOptions=a("mode", mode=one_of("token"), secretName=TEXT),
    gcsFaultToleranceOptions=a(
        "redisAddress", redisAddress=TEXT, redisPassword=FROM_SECRET, externalStorageNamespace=TEXT
    ),
    enableInTreeAutoscaling=YES_OR_NO,
    autoscalerOptions=a(
        version=one_of("v1", "v2"),
        idleTimeoutSeconds=NUMBER,
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        securityContext=CONTAINER_SECURITY,
        resources=RESOURCES,
    ),
    headGroupSpec=HEAD,
    workerGroupSpecs=some(WORKERS),
)
JOB = a(
    "entrypoint",
    "rayClusterSpec",
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    submissionMode=one_of("K8sJobMode", "HTTPMode", "SidecarMode"),
    submitterPodTemplate=TEMPLATE,
    backoffLimit=NUMBER,
    activeDeadlineSeconds=NUMBER | {"minimum": 1},
    preRunningDeadlineSeconds=NUMBER | {"minimum": 1},
    shutdownAfterJobFinishes=YES_OR_NO,
    ttlSecondsAfterFinished=NUMBER,
    rayClusterSpec=CLUSTER,
)
MANIFESTS = {
    kind: a(
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        apiVersion=one_of("ray.io/v1"),
        kind=one_of(kind),
        metadata=METADATA,
        spec=spec,
    )
    for kind, spec in (("RayCluster", CLUSTER), ("RayJob", JOB))
}
