//! Our `csi.proto` against the published one, field by field.
//!
//! Ours has no comments and no `go_package`; in everything else that a descriptor holds the two must agree. The published
//! file comes from the Go module of the specification; where Go or the module is missing, the comparison is left out,
//! and says so past the capture of test output.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind,
    MessageDescriptor, ServiceDescriptor,
};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// The version of the specification this driver speaks.
const MODULE: &str = "github.com/container-storage-interface/spec@v1.13.0";
const OURS: &str = include_str!("../csi/v1/csi.proto");

/// Every element of a file by its name, with all that is said of it.
type Elements = BTreeMap<String, String>;

fn elements(file: &FileDescriptor) -> Elements {
    let mut all = Elements::new();
    let raw = file.file_descriptor_proto();
    let imports: Vec<_> = file.dependencies().map(|import| import.name().to_owned()).collect();
    all.insert(
        "file".to_owned(),
        format!("{} {:?} {imports:?} {}", file.package_name(), file.syntax(), options(&file.options())),
    );
    assert!(raw.public_dependency.is_empty() && raw.weak_dependency.is_empty());
    for service in file.services() {
        service_elements(&service, &mut all);
    }
    for message in file.messages() {
        message_elements(&message, &mut all);
    }
    for the_enum in file.enums() {
        enum_elements(&the_enum, &mut all);
    }
    for extension in file.extensions() {
        let extendee = extension.containing_message();
        let said = format!("{} of {} {}", extension.number(), extendee.full_name(), kind(&extension.kind()));
        all.insert(format!("extension {}", extension.full_name()), said);
    }
    all
}

fn service_elements(service: &ServiceDescriptor, all: &mut Elements) {
    all.insert(format!("service {}", service.full_name()), options(&service.options()));
    for method in service.methods() {
        let stream = |is: bool| if is { "stream " } else { "" };
        let said = format!(
            "{}{} -> {}{} {}",
            stream(method.is_client_streaming()),
            method.input().full_name(),
            stream(method.is_server_streaming()),
            method.output().full_name(),
            options(&method.options())
        );
        all.insert(format!("method {}", method.full_name()), said);
    }
}

fn message_elements(message: &MessageDescriptor, all: &mut Elements) {
    let name = message.full_name();
    let ranges: Vec<_> = message.reserved_ranges().collect();
    let names: Vec<_> = message.reserved_names().collect();
    let said = format!(
        "reserved {ranges:?} {names:?} map entry {} {}",
        message.is_map_entry(),
        options(&message.options())
    );
    all.insert(format!("message {name}"), said);
    for field in message.fields() {
        all.insert(format!("field {name}.{}", field.name()), field_said(&field));
    }
    for oneof in message.oneofs() {
        let fields: Vec<_> = oneof.fields().map(|field| field.name().to_owned()).collect();
        all.insert(format!("oneof {name}.{}", oneof.name()), format!("{fields:?}"));
    }
    for child in message.child_messages() {
        message_elements(&child, all);
    }
    for child in message.child_enums() {
        enum_elements(&child, all);
    }
}

fn field_said(field: &FieldDescriptor) -> String {
    let label = match field.cardinality() {
        Cardinality::Optional => "optional",
        Cardinality::Required => "required",
        Cardinality::Repeated => "repeated",
    };
    let oneof = field.containing_oneof().map(|oneof| oneof.name().to_owned());
    let raw = field.field_descriptor_proto();
    format!(
        "= {} {label} {} json {} oneof {oneof:?} explicit {:?} default {:?} {}",
        field.number(),
        kind(&field.kind()),
        field.json_name(),
        raw.proto3_optional,
        raw.default_value,
        options(&field.options())
    )
}

fn enum_elements(the_enum: &EnumDescriptor, all: &mut Elements) {
    let name = the_enum.full_name();
    let ranges: Vec<_> = the_enum.reserved_ranges().collect();
    let names: Vec<_> = the_enum.reserved_names().collect();
    all.insert(
        format!("enum {name}"),
        format!("reserved {ranges:?} {names:?} {}", options(&the_enum.options())),
    );
    for value in the_enum.values() {
        let said = format!("= {} {}", value.number(), options(&value.options()));
        all.insert(format!("value {name}.{}", value.name()), said);
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => format!("message {}", message.full_name()),
        Kind::Enum(the_enum) => format!("enum {}", the_enum.full_name()),
        Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64
        | Kind::Bool
        | Kind::String
        | Kind::Bytes => format!("{kind:?}"),
    }
}

/// Every option that is set, the specification's own extensions included; where Go code goes is none of ours.
fn options(options: &DynamicMessage) -> String {
    let plain = options.fields().map(|(field, value)| (field.name().to_owned(), format!("{value:?}")));
    let own = options.extensions().map(|(field, value)| (field.full_name().to_owned(), format!("{value:?}")));
    let mut set: Vec<_> = plain.chain(own).filter(|(name, _)| name != "go_package").collect();
    set.sort();
    format!("options {set:?}")
}

fn ours() -> Elements {
    let pool = DescriptorPool::decode(proto::DESCRIPTOR_SET).expect("our own descriptors");
    elements(&pool.get_file_by_name("csi/v1/csi.proto").expect("is in the set"))
}

/// Finds one text under the name of the file, and no other.
#[derive(Debug)]
struct OneFile(String);

impl FileResolver for OneFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "csi.proto" => File::from_source(name, &self.0),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

fn compiled(text: &str) -> Elements {
    let mut files = ChainFileResolver::new();
    files.add(OneFile(text.to_owned()));
    files.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file("csi.proto").expect("compiles");
    elements(&compiler.descriptor_pool().get_file_by_name("csi.proto").expect("was opened"))
}

/// One line per element that differs.
fn differences(ours: &Elements, published: &Elements) -> String {
    let mut text = String::new();
    for (name, said) in published {
        match ours.get(name) {
            Some(same) if same == said => {}
            Some(other) => {
                writeln!(text, "{name}\n  published {said}\n  ours      {other}").expect("a String")
            }
            None => writeln!(text, "{name} is missing").expect("a String"),
        }
    }
    for name in ours.keys().filter(|name| !published.contains_key(*name)) {
        writeln!(text, "{name} is not in the specification").expect("a String");
    }
    text
}

/// The folder of the published module, or why it cannot be had.
fn module() -> Result<PathBuf, String> {
    let mut go = Command::new(go_program());
    go.args(["mod", "download", "-json", MODULE]).current_dir(std::env::temp_dir());
    let output = go.output().map_err(|error| format!("go cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let dir = text.lines().find_map(|line| line.trim().strip_prefix("\"Dir\": \"")?.split('"').next());
    match dir {
        Some(dir) if output.status.success() => Ok(dir.into()),
        Some(_) | None => {
            Err(format!("go mod download {MODULE}: {text}{}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}

/// The machine's Go, or the one that `make tools` has fetched where there is none.
fn go_program() -> std::path::PathBuf {
    let found = Command::new("go").arg("version").output().is_ok();
    let cache = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let cache = cache.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let tools = cache.map(|cache| cache.join("rds-csi/tools")).filter(|_| !found);
    let folders = tools.and_then(|tools| std::fs::read_dir(tools).ok()).into_iter().flatten();
    let mut programs = folders.filter_map(|folder| Some(folder.ok()?.path().join("bin/go")));
    programs.find(|program| program.is_file()).unwrap_or_else(|| "go".into())
}

#[test]
fn our_csi_is_the_published_one_field_by_field() {
    let folder = match module() {
        Ok(folder) => folder,
        Err(why) => {
            // Written past the capture of test output: a test that did not look must not pass in silence.
            assert!(
                std::env::var_os("CI").is_none(),
                "csi.proto cannot be compared with the published one: {why}"
            );
            let mut out = std::io::stderr();
            writeln!(out, "\nLEFT OUT: csi.proto was not compared with the published {MODULE}: {why}\n")
                .expect("written");
            return;
        }
    };
    let text = std::fs::read_to_string(folder.join("csi.proto")).expect("the module holds it");
    let (ours, published) = (ours(), compiled(&text));
    assert!(published.len() > 500, "the published file was not read: {} elements", published.len());
    let differences = differences(&ours, &published);
    assert!(differences.is_empty(), "our csi.proto differs from {MODULE}:\n{differences}");
}

#[test]
fn the_comparison_sees_every_kind_of_difference() {
    let changes = [
        ("rpc Probe(ProbeRequest)", "rpc Probe(GetPluginInfoRequest)"),
        ("returns (stream GetMetadataDeltaResponse)", "returns (GetMetadataDeltaResponse)"),
        ("option (alpha_service) = true;", ""),
        ("option (alpha_message) = true;", ""),
        ("  rpc Probe(ProbeRequest) returns (ProbeResponse);\n", ""),
        ("string name = 1;", "string name = 9;"),
        ("string name = 1;", "bytes name = 1;"),
        ("string name = 1;", "repeated string name = 1;"),
        ("string name = 1;", "optional string name = 1;"),
        ("secrets = 5 [(csi_secret) = true]", "secrets = 5"),
        ("bool alpha_field = 1060;", "bool alpha_field = 1061;"),
        ("DATA_LOSS = 3;", "DATA_LOSS = 4;"),
        ("GET_VOLUME = 12 [(alpha_enum_value) = true]", "GET_VOLUME = 12"),
        ("reserved 11;", ""),
        ("reserved 2;", "reserved 3;"),
        (
            "  oneof type {\n    Service service = 1;\n    VolumeExpansion volume_expansion = 2;\n  }",
            "  Service service = 1;\n  VolumeExpansion volume_expansion = 2;",
        ),
        ("map<string, string> manifest = 3;", "map<string, bytes> manifest = 3;"),
        ("package csi.v1;", "package csi.v2;"),
    ];
    assert_eq!(differences(&ours(), &compiled(OURS)), "", "the same text has no difference");
    let missed: Vec<_> = changes
        .iter()
        .filter(|(from, to)| {
            let changed = OURS.replacen(from, to, 1);
            assert_ne!(changed, OURS, "{from:?} is in the file");
            differences(&ours(), &compiled(&changed)).is_empty()
        })
        .collect();
    assert!(missed.is_empty(), "not seen: {missed:?}");
}
