//! What is asked of the cluster itself.

use std::path::PathBuf;

use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum CertificatesCommand {
    /// Make what is missing, renew what ends soon, keep the rest
    Ensure(CertificatesArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CertificatesArguments {
    /// Namespace of the secrets
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: String,
    /// What their names begin with: PREFIX-ca, and PREFIX-ROLE-tls for each role
    #[arg(long, value_name = "PREFIX")]
    pub(crate) secret_prefix: String,
    /// Life of a certificate; it is renewed when less than a third is left
    #[arg(long, value_name = "DAYS", default_value_t = 1095, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub(crate) validity_days: u16,
    /// Replace the authority, and with it every certificate
    #[arg(long)]
    pub(crate) renew_ca: bool,
    /// Credentials; without it those of the environment or of the pod
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// How to print what was done
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum UninstallCommand {
    /// Fail while PersistentVolumes of the driver exist, and name them
    Check(UninstallArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct UninstallArguments {
    /// Name of the CSI driver
    #[arg(long, value_name = "NAME", default_value = "rds.csi.srvlab.io")]
    pub(crate) driver_name: String,
    /// Credentials; without it those of the environment or of the pod
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}
