//! All risks, in the order of docs/operations.md. The table there is printed from this file.

use crate::error::codes;

codes! {
    /// What a change can break or lose.
    pub enum Code {
        DataLoss = "data-loss",
            "A column is dropped on the table itself, and its values are gone.",
            "Leave `--strategy in-place` out: the former table keeps the values until cleanup.";
        RowLoss = "row-loss",
            "Rows that do not satisfy `--where` are not in the new table.",
            "The former table keeps them until cleanup, and a rollback brings them back.";
        DoesNotConvert = "does-not-convert",
            "Rows do not fit the new shape. The copy would stop there; the table stays in use as it is.",
            "Correct them first.";
        ValuesChange = "values-change",
            "Values would be rounded, cut or moved.",
            "Choose a type that holds them, or accept it.";
        Nulls = "nulls",
            "Rows are NULL in a column that becomes NOT NULL.",
            "Correct them first.";
        Duplicates = "duplicates",
            "Rows are duplicates under a new unique constraint or index.",
            "Correct them first.";
        Orphans = "orphans",
            "Rows have no parent under a new foreign key.",
            "Correct them first.";
        CheckViolations = "check-violations",
            "Rows violate a new CHECK constraint.",
            "Correct them first.";
        NotChecked = "not-checked",
            "`--check-data` cannot check the rows for one of the constraints.",
            "Check them yourself.";
        RefusedEarly = "refused-early",
            "From the first step on, a constraint rejects new rows that violate it, and every UPDATE of an existing row that violates it.",
            "Run `plan --check-data`, and correct the rows first.";
        RequiredColumn = "required-column",
            "An INSERT that gives a new column no value fails after the change.",
            "Let the application give the value first, or keep a default.";
        Renamed = "renamed",
            "A table or column gets another name. Statements that use the old one fail after the change.",
            "Change the application at the same time.";
        ColumnOrder = "column-order",
            "`--columns` moves columns. INSERT and COPY without a column list put values into other columns; `select *` returns another order.",
            "Name the columns in the application.";
        ChildColumns = "child-columns",
            "A referenced column changes its type, and the referencing columns keep theirs.",
            "Change the referencing table too.";
        TimeDependentCheck = "time-dependent-check",
            "A CHECK constraint reads the clock. It may reject rows that were valid when they were written.",
            "Check that all existing rows still satisfy it.";
        PreparedStatements = "prepared-statements",
            "Sessions that prepared `select *` get one error, \"cached plan must not change result type\", as after any ALTER.",
            "Most drivers prepare again by themselves.";
        IdentityStart = "identity-start",
            "An existing column becomes an identity, whose sequence starts at its own start value. INSERTs then fail or give values that exist already. (The identity of a serial column continues where the serial's sequence stands.)",
            "Run the statement that the plan shows, right after the change.";
        SequenceExhaustion = "sequence-exhaustion",
            "A sequence has given out half of the values that its column can hold, or more.",
            "Give the column a wider type in time.";
        OidValues = "oid-values",
            "Rows of a table hold the oid of the table or of its row type, in a column of type oid, regclass or regtype. After the swap it is the oid of the former table, and after cleanup of no table.",
            "Update them right after the swap: the plan shows the statement.";
        Subscribers = "subscribers",
            "A publication sends the table's rows to subscribers, whose apply may stop.",
            "Change the subscribers first where columns are added or widened, afterwards where they are dropped.";
        LongTransaction = "long-transaction",
            "A transaction older than a second holds a lock on the table now. pgrecast waits for it and blocks nobody meanwhile.",
            "End it, or wait.";
        HiddenTransactions = "hidden-transactions",
            "The role cannot see how old the transactions of other roles are. pgrecast then watches for a second before it requests a lock.",
            "Grant `pg_read_all_stats`.";
        OpenMigration = "open-migration",
            "Another migration of the table is open. It must end before this one begins.",
            "End it first.";
        CoarseOrder = "coarse-order",
            "Many rows have the same value in the order of `--order-by`, and each part of the copy sorts them again.",
            "Order by an index that ends with the key.";
        DiskSpace = "disk-space",
            "Less disk space is free than the change may need. Checked only if the server runs on this machine and the role may read its data directory.",
            "Free some space first.";
        HotTable = "hot-table",
            "The application writes more than 5,000 rows per second on average. Replaying these changes may take long.",
            "Choose a quieter time, or use `--jobs` and `--nice-ratio 0`.";
    }
}

impl Code {
    /// Whether only `--check-data` can find this risk.
    #[must_use]
    pub fn needs_data(self) -> bool {
        matches!(
            self,
            Code::CheckViolations
                | Code::DoesNotConvert
                | Code::Duplicates
                | Code::NotChecked
                | Code::Nulls
                | Code::Orphans
                | Code::ValuesChange
        )
    }

    /// Whether nearly every change has this risk. `any` does not include these.
    #[must_use]
    pub fn is_usual(self) -> bool {
        matches!(self, Code::HiddenTransactions | Code::PreparedStatements)
    }
}
