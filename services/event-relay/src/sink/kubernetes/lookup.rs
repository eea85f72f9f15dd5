//! Finding the object a subject means, with its current UID.
//!
//! PersistentVolumes are listed and kept by handle for a short while; claims, nodes and classes are read one by one;
//! what was found is remembered for seconds, what was not is asked again. Bounded throughout.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Requests;
use crate::namespace::Namespace;
use crate::recent::Recent;
use crate::sink::SinkError;
use crate::subject::{self, ClaimFacts, ClaimRef, Object, Subject, VolumeFacts, Wanted};

/// For how long an object that was found is taken as still there.
const KEEP: Duration = Duration::from_secs(10);
/// Most objects that are remembered.
const MAX_OBJECTS: usize = 4096;
/// For how long a list of PersistentVolumes is good.
const LIST_KEEP: Duration = Duration::from_secs(30);
/// A handle that is missing in a list younger than this is taken as unknown.
const LIST_FRESH: Duration = Duration::from_secs(2);
/// PersistentVolumes per page, and pages per list: 50,000 volumes.
const PAGE: u32 = 500;
const MAX_PAGES: usize = 100;

/// Finds objects.
#[derive(Debug)]
pub(crate) struct Lookup {
    driver: String,
    found: Mutex<Recent<Subject, Object>>,
    volumes: tokio::sync::Mutex<Option<VolumeList>>,
}

#[derive(Debug)]
struct VolumeList {
    read: Instant,
    by_handle: HashMap<String, Arc<VolumeFacts>>,
}

impl Lookup {
    pub(crate) fn new(driver: &str) -> Self {
        Self {
            driver: driver.to_owned(),
            found: Mutex::new(Recent::new(MAX_OBJECTS, KEEP)),
            volumes: tokio::sync::Mutex::default(),
        }
    }

    /// The object a subject means. A claim, node or volume that cannot be pointed at is answered as
    /// [`subject::choose`] says; it is never an error that it is gone.
    pub(crate) async fn resolve(&self, api: &Requests, subject: &Subject) -> Result<Object, SinkError> {
        let now = Instant::now();
        if let Some(object) = self.found().get(subject, now) {
            return Ok(object.clone());
        }
        let object = match subject {
            Subject::Claim { namespace, name, handle } => {
                self.claim(api, namespace.as_ref(), name.as_deref(), handle.as_deref()).await?
            }
            Subject::Node(name) => Object::Node {
                name: name.clone(),
                uid: uid(api, Api::<Node>::all(api.client.clone()), name).await?,
            },
            Subject::StorageClass(name) => Object::StorageClass {
                name: name.clone(),
                uid: uid(api, Api::<StorageClass>::all(api.client.clone()), name).await?,
            },
            Subject::PersistentVolume { name, handle } => {
                self.volume(api, name.as_deref(), handle.as_deref()).await?
            }
        };
        if object.uid().is_some() {
            self.found().insert(subject.clone(), object.clone(), now);
        }
        Ok(object)
    }

    async fn claim(
        &self,
        api: &Requests,
        namespace: Option<&Namespace>,
        name: Option<&str>,
        handle: Option<&str>,
    ) -> Result<Object, SinkError> {
        let volume = match handle {
            Some(handle) => self.volume_by_handle(api, handle).await?,
            None => None,
        };
        let volume = volume.as_deref();
        let (namespace, name) = match subject::wanted(namespace, name, handle, volume)? {
            Wanted::Claim { namespace, name } => (namespace, name),
            Wanted::Settled(object) => return Ok(object),
        };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(api.client.clone(), namespace.as_str());
        let claim = get(api, claims, &name).await?;
        if claim.is_none() {
            tracing::info!(claim.namespace = %namespace, claim.name = name, "claim of an event does not exist");
            api.metrics.claim_missing();
        }
        let facts = claim.map(|claim| ClaimFacts {
            uid: claim.metadata.uid.unwrap_or_default(),
            volume_name: claim.spec.and_then(|spec| spec.volume_name).unwrap_or_default(),
        });
        let late = match (volume, handle, &facts) {
            (None, Some(handle), Some(facts)) => self.bound(api, &facts.volume_name, handle).await?,
            _ => None,
        };
        Ok(subject::choose((&namespace, &name), handle, volume.or(late.as_ref()), facts.as_ref())?)
    }

    /// The volume a claim is bound to, if it is the one of the handle: the list may be older than the binding.
    async fn bound(
        &self,
        api: &Requests,
        name: &str,
        handle: &str,
    ) -> Result<Option<VolumeFacts>, SinkError> {
        if name.is_empty() {
            return Ok(None);
        }
        let volume = get(api, Api::<PersistentVolume>::all(api.client.clone()), name).await?;
        Ok(volume.and_then(|volume| self.facts(volume)).filter(|facts| facts.handle == handle))
    }

    async fn volume(
        &self,
        api: &Requests,
        name: Option<&str>,
        handle: Option<&str>,
    ) -> Result<Object, SinkError> {
        if let Some(handle) = handle
            && let Some(facts) = self.volume_by_handle(api, handle).await?
        {
            return Ok(Object::PersistentVolume { name: facts.name.clone(), uid: Some(facts.uid.clone()) });
        }
        // A deleted volume's PersistentVolume may be gone already: the Event is written all the same.
        let uid = match name {
            Some(name) => uid(api, Api::<PersistentVolume>::all(api.client.clone()), name).await?,
            None => None,
        };
        let name = name.or(handle).unwrap_or_default().to_owned();
        Ok(Object::PersistentVolume { name, uid })
    }

    async fn volume_by_handle(
        &self,
        api: &Requests,
        handle: &str,
    ) -> Result<Option<Arc<VolumeFacts>>, SinkError> {
        // Held while listing, so that many callers cost one list.
        let mut volumes = self.volumes.lock().await;
        if let Some(list) = volumes.as_ref() {
            let found = list.by_handle.get(handle).cloned();
            let good_for = if found.is_some() { LIST_KEEP } else { LIST_FRESH };
            if list.read.elapsed() < good_for {
                return Ok(found);
            }
        }
        let list = self.list(api).await?;
        Ok(volumes.insert(list).by_handle.get(handle).cloned())
    }

    async fn list(&self, api: &Requests) -> Result<VolumeList, SinkError> {
        let read = Instant::now();
        let volumes: Api<PersistentVolume> = Api::all(api.client.clone());
        let mut by_handle = HashMap::new();
        let mut params = ListParams::default().limit(PAGE);
        for _ in 0..MAX_PAGES {
            let page = api
                .ask("list", volumes.list(&params))
                .await
                .map_err(|failure| failure.into_sink_error("listing PersistentVolumes"))?;
            let ours = page.items.into_iter().filter_map(|volume| self.facts(volume));
            by_handle.extend(ours.map(|facts| (facts.handle.clone(), Arc::new(facts))));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        Ok(VolumeList { read, by_handle })
    }

    fn facts(&self, volume: PersistentVolume) -> Option<VolumeFacts> {
        let spec = volume.spec?;
        let csi = spec.csi.filter(|csi| csi.driver == self.driver)?;
        let claim = spec.claim_ref.and_then(|claim| {
            Some(ClaimRef {
                namespace: claim.namespace?.parse().ok()?,
                name: claim.name?,
                uid: claim.uid.unwrap_or_default(),
            })
        });
        Some(VolumeFacts {
            name: volume.metadata.name?,
            uid: volume.metadata.uid?,
            handle: csi.volume_handle,
            claim,
        })
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Recent<Subject, Object>> {
        self.found.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// One object by name; `None` when it does not exist.
async fn get<K>(api: &Requests, objects: Api<K>, name: &str) -> Result<Option<K>, SinkError>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    match api.ask("get", objects.get(name)).await {
        Ok(object) => Ok(Some(object)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure.into_sink_error(&format!("reading {name}"))),
    }
}

async fn uid<K>(api: &Requests, objects: Api<K>, name: &str) -> Result<Option<String>, SinkError>
where
    K: Clone + DeserializeOwned + std::fmt::Debug + kube::Resource,
{
    Ok(get(api, objects, name).await?.and_then(|object| object.meta().uid.clone()))
}
