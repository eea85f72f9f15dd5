//! Runs the program as an operator of a stack.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use harness::Stack;
use harness::orchestrator::{Access, Wish};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

pub(crate) const MIB: i64 = 1 << 20;
/// Longest time a command gets.
const LIMIT: Duration = Duration::from_secs(120);

fn command(stack: &Stack, arguments: &[&str]) -> Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rdsctl"));
    command.args(arguments).args(stack.operator()?).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// One command of an operator: exit code, standard output, standard error.
pub(crate) async fn rdsctl(stack: &Stack, arguments: &[&str]) -> Result<(i32, String, String)> {
    let output = tokio::time::timeout(LIMIT, command(stack, arguments)?.output()).await;
    let Output { status, stdout, stderr } = output.context("it does not end")??;
    let code = status.code().context("it was killed")?;
    Ok((code, String::from_utf8(stdout)?, String::from_utf8(stderr)?))
}

/// What a command that changes nothing answers with this exit code, as JSON and as YAML.
pub(crate) async fn answer_of(stack: &Stack, wanted: i32, arguments: &[&str]) -> Result<Value> {
    let (code, out, err) = rdsctl(stack, &[arguments, &["-o", "json"]].concat()).await?;
    ensure!(code == wanted, "{arguments:?} ends with {code}: {out}{err}");
    let json: Value = serde_json::from_str(&out).with_context(|| out.clone())?;
    let (code, out, _) = rdsctl(stack, &[arguments, &["-o", "yaml"]].concat()).await?;
    let yaml: Value = serde_saphyr::from_str(&out).with_context(|| out.clone())?;
    ensure!(code == wanted && without_time(&yaml) == without_time(&json), "{yaml} is not {json}");
    Ok(json)
}

/// The answer of one that goes well.
pub(crate) async fn answer(stack: &Stack, arguments: &[&str]) -> Result<Value> {
    answer_of(stack, 0, arguments).await
}

/// Uptimes go on between two calls.
fn without_time(value: &Value) -> String {
    let mut value = value.clone();
    for one in value.as_array_mut().into_iter().flatten() {
        one["uptime"] = Value::Null;
    }
    if let Some(fields) = value.as_object_mut() {
        fields.remove("uptime_seconds");
    }
    value.to_string()
}

/// Starts a command and interrupts it as a person does, once it has said `word` on standard error: its exit code, and all
/// that it said there.
pub(crate) async fn interrupted(stack: &Stack, arguments: &[&str], word: &str) -> Result<(i32, String)> {
    let mut command = command(stack, arguments)?;
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(child.stderr.take().context("no standard error")?).lines();
    let ending = async {
        let mut all = String::new();
        while let Some(line) = said.next_line().await? {
            if line.contains(word) {
                let process = child.id().context("it ended before it was interrupted")?.to_string();
                let kill = ["-c", "kill -INT $0", &process];
                tokio::process::Command::new("sh").args(kill).status().await?;
            }
            all = all + &line + "\n";
        }
        let code = child.wait().await?.code().context("it was killed")?;
        Ok((code, all))
    };
    tokio::time::timeout(LIMIT, ending).await.context("it does not end")?
}

/// Makes a volume; its handle.
pub(crate) async fn volume(stack: &Stack, name: &str) -> Result<String> {
    let wish = Wish::new(name, Access::Block, 16 * MIB);
    Ok(stack.controller().create(&wish).await?.id)
}

/// The slot in a handle.
pub(crate) fn slot_of(handle: &str) -> Result<&str> {
    handle.split_once('/').map(|(_, slot)| slot).context("not a handle")
}

/// Tells the appliance something at its console, which must be content with it.
pub(crate) async fn console(stack: &Stack, command: &str) -> Result<()> {
    let said = stack.appliance().console(command).await?;
    ensure!(said.trim().is_empty(), "{command}: {said}");
    Ok(())
}

/// A field of the row with this slot.
pub(crate) async fn field(stack: &Stack, slot: &str, name: &str) -> Result<Value> {
    let rows = stack.appliance().disks().await?;
    let row = rows.into_iter().find(|row| row["slot"] == slot).with_context(|| format!("no row {slot}"))?;
    Ok(row[name].clone())
}

/// The comment of the row with this slot; empty when it has none.
pub(crate) async fn comment(stack: &Stack, slot: &str) -> Result<String> {
    Ok(field(stack, slot, "comment").await?.as_str().unwrap_or_default().to_owned())
}
