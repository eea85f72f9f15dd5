//! The process: options, listeners, and the service until it is asked to stop.

fn main() -> std::process::ExitCode {
    chassis::run("rds-backend", async |options: rds_backend::Options, shutdown| {
        let config = options.into_config()?;
        let listeners = rds_backend::Listeners::bind(&config).await?;
        rds_backend::serve(config, listeners, shutdown).await?;
        Ok(())
    })
}
