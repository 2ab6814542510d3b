//! Fields of custom resources that hold an image by the documentation of their operator. A reviewed table: what is not
//! in it is a guess.

use serde_json::Value;

use super::{FieldPath, NamedImage};

/// Custom resources of one API group, and their fields. `[]` stands for every item.
struct Known {
    /// The API group; one that begins with `*` stands for all that end so.
    group: &'static str,
    kinds: &'static [&'static str],
    fields: &'static [&'static str],
}

const fn known(group: &'static str, kinds: &'static [&'static str], fields: &'static [&'static str]) -> Known {
    Known { group, kinds, fields }
}

const TEKTON_TASK: &[&str] = &["spec.steps[].image", "spec.sidecars[].image", "spec.stepTemplate.image"];
const TEKTON_PIPELINE: &[&str] = &[
    "spec.tasks[].taskSpec.steps[].image",
    "spec.tasks[].taskSpec.sidecars[].image",
    "spec.finally[].taskSpec.steps[].image",
];
const ARGO_TEMPLATES: &[&str] =
    &["spec.templates[].container.image", "spec.templates[].script.image", "spec.templates[].sidecars[].image"];

const KNOWN: &[Known] = &[
    known(
        "monitoring.coreos.com",
        &["Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler"],
        &["spec.image", "spec.thanos.image"],
    ),
    known("tekton.dev", &["Task", "ClusterTask", "StepAction"], TEKTON_TASK),
    known("tekton.dev", &["StepAction"], &["spec.image"]),
    known("tekton.dev", &["TaskRun"], &["spec.taskSpec.steps[].image", "spec.taskSpec.sidecars[].image"]),
    known("tekton.dev", &["Pipeline"], TEKTON_PIPELINE),
    known("tekton.dev", &["PipelineRun"], &["spec.pipelineSpec.tasks[].taskSpec.steps[].image"]),
    known("argoproj.io", &["Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate"], ARGO_TEMPLATES),
    known(
        "argoproj.io",
        &["CronWorkflow"],
        &[
            "spec.workflowSpec.templates[].container.image",
            "spec.workflowSpec.templates[].script.image",
            "spec.workflowSpec.templates[].sidecars[].image",
        ],
    ),
    known("postgresql.cnpg.io", &["Cluster"], &["spec.imageName"]),
    known("postgresql.cnpg.io", &["ImageCatalog", "ClusterImageCatalog"], &["spec.images[].image"]),
    known("acid.zalan.do", &["postgresql"], &["spec.dockerImage"]),
    known(
        "*.k8s.elastic.co",
        &["Elasticsearch", "Kibana", "ApmServer", "Beat", "Agent", "Logstash", "EnterpriseSearch"],
        &["spec.image"],
    ),
    known(
        "kafka.strimzi.io",
        &["Kafka"],
        &[
            "spec.kafka.image",
            "spec.zookeeper.image",
            "spec.entityOperator.topicOperator.image",
            "spec.entityOperator.userOperator.image",
            "spec.cruiseControl.image",
            "spec.kafkaExporter.image",
        ],
    ),
    known("kafka.strimzi.io", &["KafkaConnect", "KafkaMirrorMaker2", "KafkaBridge"], &["spec.image"]),
    known("ceph.rook.io", &["CephCluster"], &["spec.cephVersion.image"]),
    known("kubevirt.io", &["VirtualMachineInstance"], &["spec.volumes[].containerDisk.image"]),
    known("kubevirt.io", &["VirtualMachine"], &["spec.template.spec.volumes[].containerDisk.image"]),
    known("opentelemetry.io", &["OpenTelemetryCollector", "TargetAllocator", "OpAMPBridge"], &["spec.image"]),
    known(
        "opentelemetry.io",
        &["Instrumentation"],
        &["spec.java.image", "spec.nodejs.image", "spec.python.image", "spec.dotnet.image", "spec.go.image"],
    ),
    known("caching.internal.knative.dev", &["Image"], &["spec.image"]),
    known("operators.coreos.com", &["CatalogSource"], &["spec.image"]),
    known("operators.coreos.com", &["ClusterServiceVersion"], &["spec.relatedImages[].image"]),
    known(
        "pxc.percona.com",
        &["PerconaXtraDBCluster"],
        &[
            "spec.pxc.image",
            "spec.haproxy.image",
            "spec.proxysql.image",
            "spec.backup.image",
            "spec.pmm.image",
            "spec.logcollector.image",
        ],
    ),
    known("psmdb.percona.com", &["PerconaServerMongoDB"], &["spec.image", "spec.backup.image", "spec.pmm.image"]),
    known("rabbitmq.com", &["RabbitmqCluster"], &["spec.image"]),
    known("minio.min.io", &["Tenant"], &["spec.image"]),
];

pub(super) fn collect<'a>(object: &'a Value, found: &mut Vec<NamedImage<'a>>) {
    let (group, kind) = (super::group(object), object.get("kind").and_then(Value::as_str).unwrap_or_default());
    let fits = |known: &&Known| is_in(group, known.group) && known.kinds.contains(&kind);
    for field in KNOWN.iter().filter(fits).flat_map(|known| known.fields) {
        follow(object, field, &FieldPath::default(), found);
    }
}

fn is_in(group: &str, pattern: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => group.ends_with(end),
        None => group == pattern,
    }
}

fn follow<'a>(value: &'a Value, field: &str, path: &FieldPath, found: &mut Vec<NamedImage<'a>>) {
    let (first, rest) = field.split_once('.').unwrap_or((field, ""));
    let (name, each) = first.strip_suffix("[]").map_or((first, false), |name| (name, true));
    let Some(value) = value.get(name) else { return };
    let path = path.field(name);
    match value {
        Value::Array(items) if each => {
            items.iter().enumerate().for_each(|(number, item)| follow(item, rest, &path.item(number), found));
        }
        Value::String(text) if rest.is_empty() => found.push(NamedImage { text, path }),
        value if !rest.is_empty() && !each => follow(value, rest, &path, found),
        _ => {}
    }
}
