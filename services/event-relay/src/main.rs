//! The process around [`event_relay::serve`].

fn main() -> std::process::ExitCode {
    chassis::run("event-relay", event_relay::Options::into_config, async |config, shutdown| {
        let listeners = event_relay::Listeners::bind(&config).await?;
        event_relay::serve(config, listeners, shutdown).await?;
        Ok(())
    })
}
