//! An API server in one closure, with the answers a real one (1.35.4) gave about Events.
//!
//! Written from those answers alone: it shares no rule with the code it judges.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

/// What a real API server answers to a POST of a core/v1 Event to the events of `path_namespace`.
pub(crate) fn verdict(path_namespace: &str, event: &Value) -> Result<(), (u16, String)> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
    let involved = text("/involvedObject/namespace");
    if path_namespace.is_empty() {
        return Err((405, "the server does not allow this method on the requested resource".into()));
    }
    if !namespace.is_empty() && namespace != path_namespace {
        return Err((400, "the namespace of the provided object does not match the request".into()));
    }
    if event.pointer("/eventTime").is_some_and(|time| !time.is_null()) {
        return Err((422, "new-style events are not what the relay writes".into()));
    }
    let agrees = match involved {
        "" => path_namespace == "default",
        involved => involved == path_namespace,
    };
    if !agrees {
        return Err((
            422,
            format!(
                "Event \"{name}\" is invalid: involvedObject.namespace: Invalid value: \"{involved}\": does not match event.namespace"
            ),
        ));
    }
    if !dns_subdomain(name) {
        return Err((422, format!("Event \"{name}\" is invalid: metadata.name: Invalid value")));
    }
    if path_namespace.len() > 63 || path_namespace.contains('.') || !dns_subdomain(path_namespace) {
        return Err((422, "metadata.namespace: Invalid value".into()));
    }
    new_style_limits(event).map_err(|problem| (422, problem))
}

/// Limits of events.k8s.io/v1: this API does not ask for them here, we keep to them.
fn new_style_limits(event: &Value) -> Result<(), String> {
    for (field, limit) in [("message", 1024), ("reason", 128), ("action", 128), ("reportingInstance", 128)] {
        let length = event[field].as_str().map(str::len).unwrap_or_default();
        if length == 0 || length > limit {
            return Err(format!("{field} has {length} bytes"));
        }
    }
    let reporter = event["reportingComponent"].as_str().unwrap_or_default();
    let qualified = reporter
        .split_once('/')
        .is_some_and(|(prefix, name)| dns_subdomain(prefix) && !name.is_empty() && name.len() <= 63);
    match (qualified, event["type"].as_str()) {
        (true, Some("Normal" | "Warning")) => Ok(()),
        (qualified, kind) => Err(format!("reportingComponent qualified: {qualified}, type {kind:?}")),
    }
}

fn dns_subdomain(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit() || c.is_ascii_lowercase());
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            edge(label.chars().next())
                && edge(label.chars().last())
                && label.chars().all(|c| edge(Some(c)) || c == '-')
        })
}

/// What happens to the next request of one kind.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// It is refused: status, reason, seconds to wait.
    Answer(u16, &'static str, u32),
    /// It is refused because the namespace is being deleted.
    Terminating,
    /// It is done, and the reply is lost.
    LostReply,
    /// There is no answer.
    Silence,
}

#[derive(Debug, Default)]
struct World {
    objects: BTreeMap<String, Value>,
    version: u64,
    asked: Vec<String>,
    trouble: VecDeque<(Method, Trouble)>,
}

/// A cluster that remembers what it was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cluster(Arc<Mutex<World>>);

type Reply = Result<Response<Body>, std::io::Error>;

impl Cluster {
    pub(crate) fn client(&self) -> kube::Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move { cluster.answer(request).await }
        });
        kube::Client::new(service, "default")
    }

    /// Puts an object where the API has it.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().objects.insert(path.to_owned(), object);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.0.lock().unwrap().objects.remove(path);
    }

    /// The next request with this method meets trouble.
    pub(crate) fn trouble(&self, method: Method, trouble: Trouble) {
        self.0.lock().unwrap().trouble.push_back((method, trouble));
    }

    /// All Events there are.
    pub(crate) fn events(&self) -> Vec<Value> {
        let world = self.0.lock().unwrap();
        let events = world.objects.iter().filter(|(path, _)| path.contains("/events/"));
        events.map(|(_, object)| object.clone()).collect()
    }

    /// How often a method was used on paths that contain a text.
    pub(crate) fn asked(&self, method: Method, part: &str) -> usize {
        let world = self.0.lock().unwrap();
        let wanted = |line: &&String| line.starts_with(method.as_str()) && line.contains(part);
        world.asked.iter().filter(wanted).count()
    }

    async fn answer(&self, request: Request<Body>) -> Reply {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(std::io::Error::other)?;
        let trouble = {
            let mut world = self.0.lock().unwrap();
            world.asked.push(format!("{} {}", parts.method, parts.uri));
            let at = world.trouble.iter().position(|(method, _)| *method == parts.method);
            at.and_then(|at| world.trouble.remove(at)).map(|(_, trouble)| trouble)
        };
        match trouble {
            None => self.perform(&parts.method, parts.uri.path(), &body),
            Some(Trouble::Answer(code, reason, wait)) => {
                status(code, reason, "trouble", json!({ "retryAfterSeconds": wait }))
            }
            Some(Trouble::Terminating) => {
                let cause = json!([{ "reason": "NamespaceTerminating", "field": "metadata.namespace" }]);
                status(403, "Forbidden", "is being terminated", json!({ "name": "demo", "causes": cause }))
            }
            Some(Trouble::LostReply) => {
                self.perform(&parts.method, parts.uri.path(), &body)?;
                Err(std::io::Error::other("connection reset"))
            }
            Some(Trouble::Silence) => std::future::pending().await,
        }
    }

    fn perform(&self, method: &Method, path: &str, body: &[u8]) -> Reply {
        let mut world = self.0.lock().unwrap();
        match method.as_str() {
            "GET" if path == "/version" => ok(&json!({
                "major": "1", "minor": "35", "gitVersion": "v1.35.4", "gitCommit": "", "gitTreeState": "",
                "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
            })),
            "GET" if path == "/api/v1/persistentvolumes" => {
                let items = world.objects.iter().filter(|(at, _)| at.starts_with(path));
                let items: Vec<&Value> = items.map(|(_, object)| object).collect();
                ok(
                    &json!({ "apiVersion": "v1", "kind": "PersistentVolumeList", "metadata": {}, "items": items }),
                )
            }
            "GET" => match world.objects.get(path) {
                Some(object) => ok(object),
                None => not_found(path),
            },
            "POST" => world.post(path, serde_json::from_slice(body).unwrap()),
            "PATCH" => world.patch(path, &serde_json::from_slice(body).unwrap()),
            other => status(405, "MethodNotAllowed", other, json!({})),
        }
    }
}

impl World {
    fn post(&mut self, path: &str, mut event: Value) -> Reply {
        let namespace =
            path.strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.strip_suffix("/events"));
        if let Err((code, message)) = verdict(namespace.unwrap_or_default(), &event) {
            return status(code, "Invalid", &message, json!({}));
        }
        let path = format!("{path}/{}", event["metadata"]["name"].as_str().unwrap());
        if self.objects.contains_key(&path) {
            return status(409, "AlreadyExists", "already exists", json!({}));
        }
        event["metadata"]["resourceVersion"] = self.next_version();
        self.objects.insert(path, event.clone());
        ok(&event)
    }

    fn patch(&mut self, path: &str, patch: &Value) -> Reply {
        let version = self.next_version();
        let Some(object) = self.objects.get_mut(path) else {
            return not_found(path);
        };
        let wanted = &patch["metadata"]["resourceVersion"];
        if !wanted.is_null() && *wanted != object["metadata"]["resourceVersion"] {
            return status(409, "Conflict", "the object has been modified", json!({}));
        }
        merge(object, patch);
        object["metadata"]["resourceVersion"] = version;
        ok(object)
    }

    fn next_version(&mut self) -> Value {
        self.version += 1;
        json!(self.version.to_string())
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    for (key, value) in changes {
        if !value.is_null() {
            merge(&mut target[key.as_str()], value);
        } else if let Some(map) = target.as_object_mut() {
            map.remove(key);
        }
    }
}

fn ok(object: &Value) -> Reply {
    reply(200, object)
}

fn not_found(path: &str) -> Reply {
    status(404, "NotFound", &format!("{path} not found"), json!({}))
}

fn status(code: u16, reason: &str, message: &str, details: Value) -> Reply {
    reply(
        code,
        &json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure",
            "code": code, "reason": reason, "message": message, "details": details,
        }),
    )
}

fn reply(code: u16, body: &Value) -> Reply {
    let body = Body::from(serde_json::to_vec(body).unwrap());
    Ok(Response::builder().status(code).body(body).unwrap())
}

#[test]
fn the_fake_answers_as_a_real_api_server_did() {
    let event = |namespace: &str, involved: Option<&str>| {
        json!({
            "metadata": { "name": "data.0123456789abcdef", "namespace": namespace },
            "involvedObject": { "kind": "Node", "name": "data", "namespace": involved },
            "reason": "r", "action": "a", "message": "m", "type": "Normal",
            "reportingComponent": "rds.csi.srvlab.io/x", "reportingInstance": "i",
        })
    };
    let code = |path: &str, event: Value| verdict(path, &event).err().map(|(code, _)| code);
    // A node without a reference namespace: in default only.
    assert_eq!(code("default", event("default", None)), None);
    assert_eq!(code("kube-system", event("kube-system", None)), Some(422));
    assert_eq!(code("storage", event("storage", None)), Some(422));
    // With one: where that namespace is.
    assert_eq!(code("storage", event("storage", Some("storage"))), None);
    // No metadata.namespace: taken from the path, and refused where the path has none.
    assert_eq!(code("default", event("", None)), None);
    assert_eq!(code("", event("", None)), Some(405));
    // A claim of a in b; without a reference namespace in b; metadata of a on the path of b.
    assert_eq!(code("b", event("b", Some("a"))), Some(422));
    assert_eq!(code("b", event("b", None)), Some(422));
    assert_eq!(code("b", event("a", Some("a"))), Some(400));
}
