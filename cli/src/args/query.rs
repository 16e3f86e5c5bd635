//! Arguments of `tollgate sql`, `find` and `ask`, and where all of them ask.

use std::sync::LazyLock;

use clap::{Args as ClapArgs, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use tollgate_queries::questions;

use crate::address;
use crate::completion;

/// The end of the help of `tollgate ask`: every question with who asks it.
static QUESTIONS: LazyLock<String> = LazyLock::new(|| {
    let mut help = String::from(
        "Parameters follow the question's name: tollgate ask why-failed --service members --since 15m\n\nQuestions:\n",
    );
    for question in questions::all() {
        help.push_str(&format!("  {:26}{}\n", question.name, question.title));
    }
    help.push_str(
        "\n`tollgate ask` alone lists them with their parameters, who asks each, and what to do with the answer.",
    );
    help
});

/// Where the queries are answered.
#[derive(Debug, Clone, ClapArgs)]
pub struct ServerArgs {
    /// Address of the HTTP door
    #[arg(long, value_name = "URL", env = "TOLLGATE_URL", default_value = address::QUERIES)]
    pub url: String,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// JSON as the HTTP door answers it
    Json,
    /// Comma-separated values with a header line
    Csv,
    /// An Arrow IPC stream
    Arrow,
}

/// Arguments of `tollgate sql`.
#[derive(Debug, ClapArgs)]
pub struct SqlArgs {
    /// The query; `-` reads it from standard input
    pub sql: String,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Where to ask
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Arguments of `tollgate find`.
#[derive(Debug, ClapArgs)]
pub struct FindArgs {
    /// A request id, trace id or correlation id
    pub id: String,
    /// Print JSON instead of words
    #[arg(long)]
    pub json: bool,
    /// Where to ask
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Arguments of `tollgate ask`.
#[derive(Debug, ClapArgs)]
#[command(after_help = QUESTIONS.as_str())]
pub struct AskArgs {
    /// How rows are printed (before the question's name)
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Where to ask
    #[command(flatten)]
    pub server: ServerArgs,
    /// The question's name; none = list the questions
    #[arg(add = ArgValueCompleter::new(completion::question_names))]
    pub name: Option<String>,
    /// The question's parameters, each as `--name value` or `--name=value`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--PARAM VALUE", add = ArgValueCompleter::new(completion::parameters))]
    pub params: Vec<String>,
}
