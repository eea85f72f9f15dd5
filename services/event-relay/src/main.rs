//! The process around [`event_relay::serve`].

fn main() -> std::process::ExitCode {
    chassis::run("event-relay", async |options: event_relay::Options, shutdown| {
        let config = options.into_config()?;
        let listeners = event_relay::Listeners::bind(&config).await?;
        event_relay::serve(config, listeners, shutdown).await?;
        Ok(())
    })
}
