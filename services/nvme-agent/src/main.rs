//! The process around [`nvme_agent::serve`].

fn main() -> std::process::ExitCode {
    chassis::run("nvme-agent", async |options: nvme_agent::Options, shutdown| {
        let config = options.into_config()?;
        let listeners = nvme_agent::Listeners::bind(&config).await?;
        nvme_agent::serve(config, listeners, shutdown).await?;
        Ok(())
    })
}
