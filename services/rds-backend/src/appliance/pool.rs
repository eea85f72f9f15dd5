//! The configured appliances by name.

use std::sync::Arc;

use proto::id::ApplianceName;

use super::Appliance;

/// All of them, in the order of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Appliances(Arc<[Arc<Appliance>]>);

impl Appliances {
    pub(crate) fn new(appliances: Vec<Appliance>) -> Self {
        Self(appliances.into_iter().map(Arc::new).collect())
    }

    /// The one of this name.
    pub(crate) fn get(&self, name: &ApplianceName) -> Option<&Arc<Appliance>> {
        self.0.iter().find(|appliance| appliance.config().name == *name)
    }

    /// The one that is used when nobody names one.
    pub(crate) fn first(&self) -> Option<&Arc<Appliance>> {
        self.0.first()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Appliance>> {
        self.0.iter()
    }

    /// Their names, for messages.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|a| a.config().name.as_str()).collect();
        names.join(", ")
    }
}
