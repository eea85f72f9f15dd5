//! The namespace an Event is written to, and the one its reference carries.
//!
//! The rule of the API server for core/v1 Events without `eventTime`: a reference with a namespace wants the Event
//! in that namespace; a reference without one wants it in `default`. Everything else is refused with 422, and an
//! Event of a claim that lands elsewhere is never shown. [`Rules::place`] therefore is total: every object has
//! exactly one place, or the operator's policy forbids it. Nothing here asks anybody anything.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::fault::Refusal;
use crate::subject::Object;

/// Longest DNS-1123 label, in bytes.
const MAX_LABEL_BYTES: usize = 63;

/// Name of a namespace: a DNS-1123 label, never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

impl Namespace {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where Events about cluster-scoped objects live.
    pub(crate) fn default_namespace() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot be the name of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a DNS-1123 label: 1 to 63 lower-case letters, digits and '-', not at the ends")]
pub struct NotALabel(String);

impl FromStr for Namespace {
    type Err = NotALabel;
    fn from_str(text: &str) -> Result<Self, NotALabel> {
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotALabel(text.chars().take(MAX_LABEL_BYTES + 1).collect()))
        }
    }
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_LABEL_BYTES).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// What the operator may decide about places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Where Events about nodes go instead of `default`. Their reference then carries this namespace, which the API
    /// server accepts, at the price that `kubectl describe node` no longer shows them.
    pub node_event_namespace: Option<Namespace>,
    /// When not empty, Events are written to these namespaces only (`default` must be listed too, if wanted).
    pub allow: BTreeSet<Namespace>,
    /// Events are never written to these namespaces, listed in `allow` or not.
    pub deny: BTreeSet<Namespace>,
}

/// Where an Event goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    /// `metadata.namespace` of the Event.
    pub(crate) namespace: Namespace,
    /// `involvedObject.namespace`; `None` = left out.
    pub(crate) reference: Option<Namespace>,
}

impl Rules {
    /// The place of an Event about `object`.
    pub(crate) fn place(&self, object: &Object) -> Result<Placement, Refusal> {
        let placement = match object {
            Object::Claim { namespace, .. } => Placement::with_reference(namespace.clone()),
            Object::Node { .. } => match &self.node_event_namespace {
                Some(namespace) => Placement::with_reference(namespace.clone()),
                None => Placement::cluster_scoped(),
            },
            Object::PersistentVolume { .. } | Object::StorageClass { .. } | Object::UnplacedClaim { .. } => {
                Placement::cluster_scoped()
            }
        };
        self.permit(placement)
    }

    fn permit(&self, placement: Placement) -> Result<Placement, Refusal> {
        let namespace = &placement.namespace;
        let allowed = self.allow.is_empty() || self.allow.contains(namespace);
        if allowed && !self.deny.contains(namespace) {
            Ok(placement)
        } else {
            Err(Refusal::Policy(namespace.clone()))
        }
    }
}

impl Placement {
    fn with_reference(namespace: Namespace) -> Self {
        Self { reference: Some(namespace.clone()), namespace }
    }

    fn cluster_scoped() -> Self {
        Self { namespace: Namespace::default_namespace(), reference: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(text: &str) -> Namespace {
        text.parse().unwrap()
    }

    fn claim(namespace: &str) -> Object {
        Object::Claim { namespace: ns(namespace), name: "data".into(), uid: None }
    }

    fn node() -> Object {
        Object::Node { name: "node-a".into(), uid: None }
    }

    fn volume() -> Object {
        Object::PersistentVolume { name: "pv-1".into(), uid: None }
    }

    #[test]
    fn an_event_about_a_claim_goes_to_the_claims_own_namespace_always() {
        let rules = Rules { node_event_namespace: Some(ns("storage")), ..Rules::default() };
        let place = rules.place(&claim("demo")).unwrap();
        assert_eq!(place.namespace, ns("demo"));
        assert_eq!(place.reference, Some(ns("demo")));
    }

    #[test]
    fn an_event_about_a_cluster_scoped_object_goes_to_default_without_a_reference_namespace() {
        let class = Object::StorageClass { name: "fast".into(), uid: None };
        for object in [node(), volume(), class] {
            let place = Rules::default().place(&object).unwrap();
            assert_eq!(place.namespace.as_str(), "default", "{object:?}");
            assert_eq!(place.reference, None, "{object:?}");
        }
    }

    #[test]
    fn the_node_event_namespace_moves_nodes_only_and_their_reference_with_them() {
        let rules = Rules { node_event_namespace: Some(ns("storage")), ..Rules::default() };
        let place = rules.place(&node()).unwrap();
        assert_eq!((place.namespace, place.reference), (ns("storage"), Some(ns("storage"))));
        assert_eq!(rules.place(&volume()).unwrap().namespace.as_str(), "default");
    }

    #[test]
    fn a_claim_whose_namespace_nobody_knows_goes_to_default() {
        let object = Object::UnplacedClaim { name: "data".into() };
        let place = Rules::default().place(&object).unwrap();
        assert_eq!((place.namespace.as_str(), place.reference), ("default", None));
    }

    #[test]
    fn deny_wins_over_allow_and_an_allow_list_admits_nothing_else() {
        let rules = Rules {
            allow: BTreeSet::from([ns("demo"), ns("secret")]),
            deny: BTreeSet::from([ns("secret")]),
            ..Rules::default()
        };
        assert!(rules.place(&claim("demo")).is_ok());
        assert_eq!(rules.place(&claim("secret")), Err(Refusal::Policy(ns("secret"))));
        assert_eq!(rules.place(&claim("other")), Err(Refusal::Policy(ns("other"))));
        assert_eq!(rules.place(&node()), Err(Refusal::Policy(ns("default"))));
    }

    #[test]
    fn a_namespace_is_a_dns_label_and_nothing_else() {
        for good in ["a", "demo", "a-b", "0", &"x".repeat(63)] {
            assert!(good.parse::<Namespace>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "ä", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
    }
}
