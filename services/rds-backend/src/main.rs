//! The process: options, listeners, and the service until it is asked to stop.

fn main() -> std::process::ExitCode {
    chassis::run("rds-backend", rds_backend::Options::into_config, async |config, shutdown| {
        let listeners = rds_backend::Listeners::bind(&config).await?;
        rds_backend::serve(config, listeners, shutdown).await?;
        Ok(())
    })
}
