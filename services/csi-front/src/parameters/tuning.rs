//! Options of a connection and of mkfs. The same keys stand in a StorageClass and in the volume context.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use proto::rds::node::v1 as node;

use crate::request::{Problems, shown};

pub(crate) const CTRL_LOSS_TMO: &str = "ctrlLossTmo";
pub(crate) const RECONNECT_DELAY: &str = "reconnectDelay";
pub(crate) const KEEP_ALIVE_TMO: &str = "keepAliveTmo";
pub(crate) const IO_QUEUES: &str = "ioQueues";
pub(crate) const FAST_IO_FAIL_TMO: &str = "fastIoFailTmo";
pub(crate) const MKFS_OPTIONS: &str = "mkfsOptions";

const WEEK_SECONDS: i64 = 7 * 24 * 3600;
const HOUR_SECONDS: i64 = 3600;
/// Longest text of mkfs options, in bytes.
const MAX_MKFS_BYTES: usize = 512;

/// NVMe/TCP connection options; what is not set leaves the agent's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tuning {
    /// Seconds; -1 = never give up.
    pub(crate) ctrl_loss_tmo: Option<i64>,
    /// Seconds.
    pub(crate) reconnect_delay: Option<u32>,
    /// Seconds.
    pub(crate) keep_alive_tmo: Option<u32>,
    pub(crate) io_queues: Option<u32>,
    /// Seconds.
    pub(crate) fast_io_fail_tmo: Option<u32>,
}

impl Tuning {
    /// Reads the keys out of the map called `map_name`; everything that is wrong is noted.
    pub(crate) fn parse(map: &BTreeMap<String, String>, map_name: &str, problems: &mut Problems) -> Self {
        let mut number = |key: &str, range: RangeInclusive<i64>, unit: &str| {
            let text = map.get(key)?;
            match text.parse::<i64>() {
                Ok(number) if range.contains(&number) && number != 0 => Some(number),
                Ok(_) | Err(_) => {
                    let never = if *range.start() < 0 { "-1 (never), or 1" } else { "1" };
                    problems.note(
                        format_args!("{map_name}[{key}]"),
                        format_args!("{} is not allowed: {never} to {}{unit}", shown(text), range.end()),
                    );
                    None
                }
            }
        };
        let ctrl_loss_tmo = number(CTRL_LOSS_TMO, -1..=WEEK_SECONDS, " seconds");
        let mut small =
            |key, most, unit| number(key, 1..=most, unit).and_then(|number| u32::try_from(number).ok());
        let tuning = Self {
            ctrl_loss_tmo,
            reconnect_delay: small(RECONNECT_DELAY, HOUR_SECONDS, " seconds"),
            keep_alive_tmo: small(KEEP_ALIVE_TMO, HOUR_SECONDS, " seconds"),
            io_queues: small(IO_QUEUES, 128, " queues"),
            fast_io_fail_tmo: small(FAST_IO_FAIL_TMO, WEEK_SECONDS, " seconds"),
        };
        tuning.check_order(map_name, problems);
        tuning
    }

    /// A path that is given up before its I/O fails never fails it.
    fn check_order(&self, map_name: &str, problems: &mut Problems) {
        if let (Some(loss), Some(fail)) = (self.ctrl_loss_tmo, self.fast_io_fail_tmo)
            && loss >= 0
            && i64::from(fail) > loss
        {
            problems.note(
                format_args!("{map_name}[{FAST_IO_FAIL_TMO}]"),
                format_args!("{fail} is above {CTRL_LOSS_TMO} {loss}; it must not be"),
            );
        }
    }

    /// Writes what is set.
    pub(crate) fn write(&self, map: &mut BTreeMap<String, String>) {
        let numbers = [
            (CTRL_LOSS_TMO, self.ctrl_loss_tmo),
            (RECONNECT_DELAY, self.reconnect_delay.map(i64::from)),
            (KEEP_ALIVE_TMO, self.keep_alive_tmo.map(i64::from)),
            (IO_QUEUES, self.io_queues.map(i64::from)),
            (FAST_IO_FAIL_TMO, self.fast_io_fail_tmo.map(i64::from)),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                map.insert(key.to_owned(), number.to_string());
            }
        }
    }
}

impl From<Tuning> for node::Tuning {
    fn from(tuning: Tuning) -> Self {
        Self {
            ctrl_loss_tmo_seconds: tuning.ctrl_loss_tmo,
            reconnect_delay_seconds: tuning.reconnect_delay,
            keep_alive_tmo_seconds: tuning.keep_alive_tmo,
            io_queues: tuning.io_queues,
            fast_io_fail_tmo_seconds: tuning.fast_io_fail_tmo,
        }
    }
}

/// Splits mkfs options at white space. Which options are allowed the agent knows; here only their form is checked.
pub(crate) fn parse_mkfs_options(
    map: &BTreeMap<String, String>,
    map_name: &str,
    problems: &mut Problems,
) -> Vec<String> {
    let Some(text) = map.get(MKFS_OPTIONS) else {
        return Vec::new();
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_=,.^:+".contains(&b);
    let well_formed = text.len() <= MAX_MKFS_BYTES
        && text.split_ascii_whitespace().all(|word| word.bytes().all(allowed))
        && text.split_ascii_whitespace().next().is_none_or(|word| word.starts_with('-'));
    if !well_formed {
        problems.note(
            format_args!("{map_name}[{MKFS_OPTIONS}]"),
            format_args!(
                "{} is not a list of options: words of letters, digits and -_=,.^:+, the first begins with '-', at \
                 most {MAX_MKFS_BYTES} bytes",
                shown(text)
            ),
        );
        return Vec::new();
    }
    text.split_ascii_whitespace().map(str::to_owned).collect()
}
