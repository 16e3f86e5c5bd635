//! `print-config`: writes the effective configuration, with every default.

use tollgate_proxy::plan::Plan;

/// Writes the configuration to standard output as YAML.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    print!("{}", tollgate_config::to_yaml(&plan.config)?);
    Ok(())
}
