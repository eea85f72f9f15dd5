//! The process around [`nvme_agent::serve`].

fn main() -> std::process::ExitCode {
    chassis::run("nvme-agent", nvme_agent::Options::into_config, async |config, shutdown| {
        let listeners = nvme_agent::Listeners::bind(&config).await?;
        nvme_agent::serve(config, listeners, shutdown).await?;
        Ok(())
    })
}
