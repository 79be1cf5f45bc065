"""The values that the Helm charts document, so that a misspelt one, which Helm ignores, is found.

A key is followed by the keys below it; by nothing, where any value fits.
"""

from collections.abc import Iterator
from typing import Any

Keys = dict[str, Any]


def keys(text: str, **below: Keys) -> Keys:
    return {**dict.fromkeys(text.split()), **below}


POD = (
    "imagePullSecrets nameOverride fullnameOverride podAnnotations podSecurityContext securityContext "
    "resources nodeSelector tolerations affinity"
)
IMAGE = keys("repository pullPolicy tag")
FROM_SECRET = keys("value", secretRef=keys("name key"))

ZENML = keys(
    f"{POD} resourcesMigrationPod",
    serviceAccount=keys("create annotations name"),
    autoscaling=keys(
        "enabled minReplicas maxReplicas targetCPUUtilizationPercentage "
        "targetMemoryUtilizationPercentage"
    ),
    zenml=keys(
        "replicaCount threadPoolSize authThreadPoolSize requestTimeout requestDeduplication "
        "requestCacheTimeout serverURL dashboardURL debug analyticsOptIn deploymentType rootUrlPath "
        "defaultProject enableImplicitAuthMethods secure_headers environment secretEnvironment "
        "environmentSecretKeyRefs instanceLabel backupSecretsStore pro",
        image=IMAGE,
        auth=keys(
            "authType jwtSecretKey jwtTokenAlgorithm jwtTokenIssuer jwtTokenAudience "
            "jwtTokenLeewaySeconds jwtTokenExpireMinutes authCookieName authCookieDomain "
            "corsAllowOrigins maxFailedDeviceAuthAttempts deviceAuthTimeout "
            "deviceAuthPollingInterval deviceExpirationMinutes trustedDeviceExpirationMinutes "
            "externalLoginURL externalUserInfoURL externalServerID rbacImplementationSource "
            "featureGateImplementationSource"
        ),
        database=keys(
            "url ssl sslVerifyServerCert poolSize maxOverflow backupStrategy "
            "backupPVStorageClass backupPVStorageSize backupDatabase",
            passwordSecretRef=keys("name key"),
            sslCa=FROM_SECRET,
            sslCert=FROM_SECRET,
            sslKey=FROM_SECRET,
        ),
        secretsStore=keys("enabled type aws gcp azure hashicorp custom", sql=keys("encryptionKey")),
        service=keys("type port annotations"),
        ingress=keys(
            "enabled className annotations host path",
            tls=keys("enabled generateCerts secretName"),
        ),
        certificates=keys("customCAs secretRefs"),
        proxy=keys("enabled httpProxy httpsProxy noProxy additionalNoProxy"),
    ),
)

DEVICE_PLUGIN = keys(
    f"{POD} compatWithCPUManager migStrategy failOnInitError deviceListStrategy deviceIDStrategy "
    "nvidiaDriverRoot gdrcopyEnabled gdsEnabled mofedEnabled deviceDiscoveryStrategy "
    "namespaceOverride selectorLabelsOverride componentSelectorLabels allowDefaultNamespace "
    "updateStrategy priorityClassName runtimeClassName devicePlugin mps cdi",
    config=keys("name map default fallbackStrategies"),
    image=IMAGE,
    gfd=keys(
        "enabled nameOverride namespaceOverride noTimestamp sleepInterval securityContext "
        "enableHostNetwork"
    ),
    nfd=keys("nameOverride master", worker=keys("tolerations config")),
)

DCGM_EXPORTER = keys(
    f"{POD} arguments config namespaceOverride hostPID hostNetwork runtimeClassName "
    "priorityClassName rollingUpdate podLabels extraHostVolumes extraConfigMapVolumes "
    "extraVolumeMounts extraEnv kubeletPath tlsServerConfig basicAuth debugDump kubernetesDRA "
    "customMetrics",
    image=keys("repository pullPolicy tag digest"),
    serviceAccount=keys("create annotations name automountServiceAccountToken"),
    service=keys(
        "enable type internalTrafficPolicy clusterIP port address webReadTimeout webWriteTimeout "
        "annotations"
    ),
    serviceMonitor=keys(
        "apiVersion enabled interval scrapeTimeout honorLabels additionalLabels relabelings "
        "metricRelabelings"
    ),
    kubernetes=keys("enablePodLabels enablePodUID podLabelAllowlistRegex", rbac=keys("create")),
)

CHARTS = {
    "zenml-server": ZENML,
    "device-plugin": DEVICE_PLUGIN,
    "dcgm-exporter": DCGM_EXPORTER,
}


def undocumented(values: Any, documented: Keys, path: str = "") -> Iterator[str]:
    """Keys of the values that the chart does not have."""
    for key, value in values.items():
        if key not in documented:
            yield f"{path}{key}"
        elif documented[key] is not None:
            yield from undocumented(value, documented[key], f"{path}{key}.")
