//! What appliances say of their own health, as of the last look.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use proto::rds::volume::v1::GetApplianceHealthResponse;

use super::ApplianceLabels;

/// Sensors of one appliance that are shown; the models known have fewer than 20.
const MAX_SENSORS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SensorLabels {
    appliance: String,
    sensor: String,
    unit: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    appliance: String,
    sensor: String,
}

/// Handles to the gauges; cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hardware {
    uptime: Family<ApplianceLabels, Gauge>,
    flagged: Family<ApplianceLabels, Gauge>,
    drives: Family<ApplianceLabels, Gauge>,
    sensors: Family<SensorLabels, Gauge<f64, AtomicU64>>,
    states: Family<StateLabels, Gauge>,
}

impl Hardware {
    /// Makes the gauges and shows them in `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        let help = "How long an appliance has been up, as of the last look";
        registry.register_with_unit("appliance_uptime", help, Unit::Seconds, all.uptime.clone());
        let help = "1 while RouterOS says that it has found traces of a compromise, as of the last look";
        registry.register("appliance_flagged", help, all.flagged.clone());
        let help = "Physical disks of an appliance, as of the last look";
        registry.register("drives", help, all.drives.clone());
        let help = "What a sensor of an appliance measures, as of the last look";
        registry.register("appliance_sensor", help, all.sensors.clone());
        let help = "1 while a sensor of an appliance that knows no numbers says ok, as of the last look";
        registry.register("appliance_sensor_ok", help, all.states.clone());
        all
    }

    /// Shows what an appliance has said.
    pub(crate) fn seen(&self, health: &GetApplianceHealthResponse) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let labels = ApplianceLabels { appliance: health.name.clone() };
        self.uptime.get_or_create(&labels).set(number(health.uptime_seconds));
        self.flagged.get_or_create(&labels).set(health.flagged.into());
        self.drives.get_or_create(&labels).set(number(health.drives.len() as u64));
        for sensor in health.sensors.iter().take(MAX_SENSORS) {
            let (appliance, name) = (health.name.clone(), sensor.name.clone());
            if let Ok(value) = sensor.value.parse() {
                let labels = SensorLabels { appliance, sensor: name, unit: sensor.unit.clone() };
                self.sensors.get_or_create(&labels).set(value);
            } else {
                let ok = sensor.value == "ok";
                self.states.get_or_create(&StateLabels { appliance, sensor: name }).set(ok.into());
            }
        }
    }
}
