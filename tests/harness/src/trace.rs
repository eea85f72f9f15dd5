//! One trace as a tree that a person can read: who called whom, with what, for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::collector::Span;

/// Attributes worth a place in the tree, in the order they are shown.
const SHOWN: [&str; 10] = [
    "routeros.verb",
    "appliance",
    "nqn",
    "filesystem",
    "device",
    "step",
    "size",
    "event.reason",
    "event.namespace",
    "reason",
];
/// Longest value shown, in characters.
const VALUE_WIDTH: usize = 44;

/// One line of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Branches and name.
    pub text: String,
    /// Process it came from.
    pub service: String,
    /// How long it took.
    pub duration: Duration,
    /// Attributes worth showing.
    pub detail: String,
    /// True when it ended in an error.
    pub failed: bool,
}

/// The spans of one trace, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    spans: Vec<Span>,
}

impl Trace {
    /// The trace `id` among `spans`.
    pub fn pick(spans: Vec<Span>, id: &str) -> Self {
        let mut spans: Vec<Span> = spans.into_iter().filter(|span| span.trace == id).collect();
        spans.sort_by_key(|span| (span.start, span.id.clone()));
        spans.dedup_by(|a, b| a.id == b.id);
        Self { spans }
    }

    /// Its spans, oldest first.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Names of the processes that took part.
    pub fn services(&self) -> BTreeSet<&str> {
        self.spans.iter().map(|span| span.service.as_str()).collect()
    }

    /// The tree, roots first. A span whose parent has not arrived is a root. What says the same thing twice is one
    /// line: the two ends of a call (that of the side that did the work), and a span named as the call it is in.
    pub fn tree(&self) -> Vec<Line> {
        let by_id: BTreeMap<&str, &Span> = self.spans.iter().map(|span| (span.id.as_str(), span)).collect();
        let hidden: BTreeSet<&str> = self.spans.iter().filter_map(|span| repeated(span, &by_id)).collect();
        let mut children: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
        for span in self.spans.iter().filter(|span| !hidden.contains(span.id.as_str())) {
            let mut parent = span.parent.as_str();
            while hidden.contains(parent) {
                parent = by_id.get(parent).map_or("", |above| above.parent.as_str());
            }
            let parent = if by_id.contains_key(parent) { parent } else { "" };
            children.entry(parent).or_default().push(span);
        }
        let mut lines = Vec::new();
        for root in children.get("").into_iter().flatten() {
            lines.push(line(String::new(), root));
            branch(&children, &root.id, "", &mut lines);
        }
        lines
    }
}

/// Which of `span` and its parent says nothing that the other does not say.
fn repeated<'a>(span: &'a Span, by_id: &BTreeMap<&str, &'a Span>) -> Option<&'a str> {
    let parent = by_id.get(span.parent.as_str())?;
    if parent.name == span.name && span.name.contains('/') {
        return Some(&parent.id);
    }
    let call = parent.name.rsplit_once('/').is_some_and(|(_, method)| method == span.name);
    (call && parent.service == span.service).then_some(span.id.as_str())
}

fn branch(children: &BTreeMap<&str, Vec<&Span>>, of: &str, indent: &str, lines: &mut Vec<Line>) {
    let below = children.get(of).map(Vec::as_slice).unwrap_or_default();
    for (at, span) in below.iter().enumerate() {
        let (elbow, bar) = if at + 1 == below.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        lines.push(line(format!("{indent}{elbow}"), span));
        branch(children, &span.id, &format!("{indent}{bar}"), lines);
    }
}

fn line(branches: String, span: &Span) -> Line {
    let detail = SHOWN
        .iter()
        .filter_map(|key| Some((*key, span.attributes.get(*key)?)))
        .filter(|(_, value)| !value.is_empty() && !span.name.contains(value.as_str()))
        .map(|(key, value)| format!("{key}={}", shorten(value)))
        .collect::<Vec<_>>()
        .join(" ");
    Line {
        text: branches + &span.name,
        service: span.service.clone(),
        duration: span.duration(),
        detail,
        failed: span.failed,
    }
}

fn shorten(value: &str) -> String {
    let length = value.chars().count();
    if length <= VALUE_WIDTH {
        return value.to_owned();
    }
    let tail: String = value.chars().skip(length - VALUE_WIDTH + 1).collect();
    format!("…{tail}")
}

/// The lines as text in columns, without colour.
pub fn columns(lines: &[Line]) -> Vec<String> {
    let width = lines.iter().map(|line| line.text.chars().count()).max().unwrap_or(0);
    let services = lines.iter().map(|line| line.service.len()).max().unwrap_or(0);
    let show = |line: &Line| {
        let took = format!("{:.1} ms", line.duration.as_secs_f64() * 1000.0);
        let mark = if line.failed { "!" } else { " " };
        format!("{:width$}  {:services$} {took:>10} {mark} {}", line.text, line.service, line.detail)
            .trim_end()
            .to_owned()
    };
    lines.iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: &str, start: u64) -> Span {
        Span {
            trace: "t".to_owned(),
            id: id.to_owned(),
            parent: parent.to_owned(),
            service: "s".to_owned(),
            name: id.to_owned(),
            start,
            end: start + 1_000_000,
            attributes: BTreeMap::new(),
            links: Vec::new(),
            failed: false,
        }
    }

    #[test]
    fn a_tree_shows_each_span_once_below_its_parent_in_the_order_of_time() {
        let spans =
            vec![span("c", "a", 3), span("b", "a", 2), span("d", "b", 4), span("a", "", 1), span("a", "", 1)];
        let lines = Trace::pick(spans, "t").tree();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["a", "├─ b", "│  └─ d", "└─ c"]);
    }

    #[test]
    fn the_two_ends_of_a_call_are_one_line_and_the_children_of_both_hang_on_it() {
        let mut spans = vec![
            span("root", "", 1),
            span("client", "root", 2),
            span("server", "client", 3),
            span("ssh", "server", 4),
        ];
        for end in &mut spans[1..3] {
            end.name = "Volumes/EnsureVolume".to_owned();
        }
        let lines = Trace::pick(spans, "t").tree();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["root", "└─ Volumes/EnsureVolume", "   └─ ssh"]);
    }

    #[test]
    fn a_span_whose_parent_never_arrived_is_still_shown() {
        let lines = Trace::pick(vec![span("b", "lost", 2)], "t").tree();
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn spans_of_another_trace_are_not_in_it() {
        assert!(Trace::pick(vec![span("a", "", 1)], "u").spans().is_empty());
    }
}
