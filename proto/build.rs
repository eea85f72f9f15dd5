//! Compiles the contract with protox (no protoc), keeps the descriptor set for reflection and tests, and
//! writes `Debug` for every message that has a `csi_secret` field, leaving that field out.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, error::Error, fs};

use protox::prost_reflect::{DescriptorPool, MessageDescriptor, Value};

const FILES: [&str; 7] = [
    "csi/v1/csi.proto",
    "rds/volume/v1/volume.proto",
    "rds/volume/v1/snapshot.proto",
    "rds/volume/v1/appliance.proto",
    "rds/node/v1/node.proto",
    "rds/event/v1/event.proto",
    "pluginregistration/pluginregistration.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for file in FILES {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).open_files(FILES)?;
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let pool = compiler.descriptor_pool();
    let mut builder = tonic_prost_build::configure().btree_map(".");
    let mut debug = String::new();
    for message in pool.all_messages().filter(|m| m.package_name() == "csi.v1") {
        let secret = secret_fields(&pool, &message)?;
        if !secret.is_empty() {
            builder = builder.skip_debug([format!(".{}", message.full_name())]);
            write_debug(&mut debug, &message, &secret)?;
        }
    }
    fs::write(out.join("csi_debug.rs"), debug)?;
    builder.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Names of the fields of `message` that carry the option `csi_secret`.
fn secret_fields(pool: &DescriptorPool, message: &MessageDescriptor) -> Result<Vec<String>, Box<dyn Error>> {
    let option = pool.get_extension_by_name("csi.v1.csi_secret").ok_or("csi.v1.csi_secret is not defined")?;
    let is_secret = |options: &protox::prost_reflect::DynamicMessage| {
        *options.get_extension(&option) == Value::Bool(true)
    };
    Ok(message.fields().filter(|f| is_secret(&f.options())).map(|f| f.name().to_owned()).collect())
}

fn write_debug(
    out: &mut String,
    message: &MessageDescriptor,
    secret: &[String],
) -> Result<(), std::fmt::Error> {
    let name = message.name();
    writeln!(out, "impl ::core::fmt::Debug for {name} {{")?;
    writeln!(out, "    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{")?;
    write!(out, "        f.debug_struct(\"{name}\")")?;
    for field in message.fields().filter(|f| !secret.iter().any(|s| s == f.name())) {
        write!(out, ".field(\"{0}\", &self.{0})", field.name())?;
    }
    writeln!(out, ".finish_non_exhaustive()\n    }}\n}}")
}
