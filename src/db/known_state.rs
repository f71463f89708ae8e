//! The initial state of every session of pgrecast. Each setting is reset to its built-in value, even if the
//! configuration, the database or the role sets it, unless it is listed here. So a setting that pgrecast does not know
//! cannot change what our statements do or how they are planned.
//!
//! Pure, except for [`read`].

use tokio_postgres::Client;

use crate::error::Result;
use crate::name::sql;

/// Settings that affect casts and the parsing of expressions. They are recorded with a migration.
pub(super) const RECORDED: [&str; 14] = [
    "search_path",
    "TimeZone",
    "timezone_abbreviations",
    "DateStyle",
    "IntervalStyle",
    "extra_float_digits",
    "bytea_output",
    "array_nulls",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "default_text_search_config",
    "xmloption",
    "xmlbinary",
];

/// Settings that are kept, regardless of where they are set.
const KEPT: [&str; 25] = [
    // The connection.
    "application_name",
    "client_encoding",
    // Of the current transaction. The defaults for new transactions are set by `session`.
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    // Limits on resources. --maintenance-work-mem and --nice-ratio can override some of them.
    "hash_mem_multiplier",
    "logical_decoding_work_mem",
    "maintenance_work_mem",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_stack_depth",
    "temp_buffers",
    "temp_file_limit",
    "temp_tablespaces",
    "work_mem",
    // Where the server finds libraries, and what it reports.
    "compute_query_id",
    "dynamic_library_path",
    "extension_control_path",
    "lc_messages",
    // Defaults for new tables, and the durability of commits.
    "default_statistics_target",
    "default_toast_compression",
    "synchronous_commit",
    "commit_delay",
    // Limits the lock requests of pgrecast, see `lock`.
    "deadlock_timeout",
];

/// Prefixes of settings that are kept: logging, statistics, the network, WAL and VACUUM.
const KEPT_GROUPS: [&str; 5] = ["log_", "track_", "tcp_", "wal_", "vacuum_"];

/// Settings that describe the machine. They are kept if the server's configuration sets them. If a role or a database
/// sets them, they are meant for the statements of the application.
const OF_MACHINE: [&str; 14] = [
    "backend_flush_after",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "effective_cache_size",
    "effective_io_concurrency",
    "io_combine_limit",
    "maintenance_io_concurrency",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "random_page_cost",
    "seq_page_cost",
];

/// A setting that does not have its built-in value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its name.
    pub(super) name: String,
    /// Its built-in value, in the unit of the setting.
    pub(super) built_in: String,
    /// Where it was set, as in `pg_settings.source`.
    pub(super) source: String,
}

/// Reads these settings of this session.
pub(super) async fn read(client: &Client) -> Result<Vec<Setting>> {
    let rows = client.query(&sql!("db/list_settings.sql").text(), &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Setting {
                name: row.try_get("name")?,
                built_in: row.try_get("boot_val")?,
                source: row.try_get("source")?,
            })
        })
        .collect()
}

/// Whether it is reset to its built-in value.
pub(super) fn goes_back(setting: &Setting) -> bool {
    let Setting { name, source, .. } = setting;
    let is_of_server = matches!(source.as_str(), "configuration file" | "command line");
    let is_set_by_others = is_of_server
        || matches!(source.as_str(), "global" | "database" | "user" | "database user" | "client");
    // A setting of an extension.
    let is_of_extension = name.contains('.');
    let is_among = |list: &[&str]| list.contains(&name.as_str());
    let is_kept = is_of_extension
        || is_among(&RECORDED)
        || is_among(&KEPT)
        || KEPT_GROUPS.iter().any(|group| name.starts_with(group))
        || (is_of_server && is_among(&OF_MACHINE));
    is_set_by_others && !is_kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(name: &str, source: &str) -> bool {
        goes_back(&Setting { name: name.into(), built_in: "0".into(), source: source.into() })
    }

    #[test]
    fn a_setting_that_nobody_knows_goes_back_whoever_set_it() {
        for source in
            ["configuration file", "command line", "global", "database", "user", "database user", "client"]
        {
            assert!(back("a_setting_of_tomorrow", source), "{source}");
            assert!(back("join_collapse_limit", source), "{source}");
            assert!(back("transaction_timeout", source), "{source}");
        }
    }

    #[test]
    fn what_the_server_or_we_have_set_stays() {
        for source in ["default", "dynamic default", "environment variable", "override", "session"] {
            assert!(!back("a_setting_of_tomorrow", source), "{source}");
        }
    }

    #[test]
    fn memory_may_be_given_to_a_role_and_costs_to_the_server_only() {
        assert!(!back("maintenance_work_mem", "user") && !back("maintenance_work_mem", "configuration file"));
        assert!(back("random_page_cost", "database") && !back("random_page_cost", "configuration file"));
    }

    #[test]
    fn values_depend_on_some_and_extensions_have_their_own() {
        assert!(RECORDED.iter().all(|name| !back(name, "user")));
        assert!(!back("auto_explain.log_min_duration", "user") && !back("log_statement", "user"));
    }
}
