//! `print-config`: writes the effective configuration, with every default.

use tollgate_proxy::plan::RuntimeConfig;

/// Writes the configuration to standard output as YAML.
pub fn run(config: &RuntimeConfig) -> anyhow::Result<()> {
    print!("{}", tollgate_config::to_yaml(&config.file)?);
    Ok(())
}
