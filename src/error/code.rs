//! All reasons to refuse a change, in the order of docs/operations.md. The table there is printed from this file.

use super::codes::codes;

codes! {
    /// Why a change is refused. Nothing has been changed when one of these is reported.
    pub enum Code {
        // Not an ordinary table.
        SystemTable = "system-table",
            "The table belongs to the server itself.",
            "Not supported.";
        TemporaryTable = "temporary-table",
            "The table is temporary: only the session that created it can see its rows.",
            "Not supported.";
        PartitionedTable = "partitioned-table",
            "The table is partitioned.",
            "Not supported.";
        Partition = "partition",
            "The table is a partition of another table.",
            "Not supported.";
        TypedTable = "typed-table",
            "The table was created OF a type, which defines its columns.",
            "Not supported. `alter table .. not of` makes it an ordinary table.";
        AccessMethod = "access-method",
            "The table has an access method other than heap. The copy reads heap blocks by range.",
            "Not supported.";
        View = "view",
            "It is a view or a materialized view, not a table.",
            "Not supported.";
        ForeignTable = "foreign-table",
            "It is a foreign table: its rows are on another server.",
            "Not supported.";
        NotATable = "not-a-table",
            "It is an index, a sequence, or another relation that is not a table.",
            "Name the table.";

        Distributed = "distributed",
            "The table is a distributed or reference table of Citus. Its rows are on other nodes.",
            "Not supported. Use the functions of Citus, such as `alter_distributed_table`.";
        Hypertable = "hypertable",
            "The table is a hypertable of `TimescaleDB`. Its rows are in chunks.",
            "Not supported.";

        // Rights and names.
        Privilege = "privilege",
            "A right is missing: for the table, for a table that a new foreign key references, or for an object that names the table.",
            "Run the GRANT that the hint prints.";
        SchemaTaken = "schema-taken",
            "A schema has a name that pgrecast needs, and pgrecast did not create it: `pgrecast`, or the schema for the shadow.",
            "Rename that schema.";
        NameTaken = "name-taken",
            "RENAME TO or SET SCHEMA gives the table a name that another relation has.",
            "Drop or rename that relation.";
        IndexNameTaken = "index-name-taken",
            "The change creates an index whose name another relation has.",
            "Give the constraint another name: `add constraint NAME ..`.";
        TypeNameTaken = "type-name-taken",
            "The new table's array type would need a name that another type has.",
            "Rename tables or types that are named as this one with underscores before it.";

        // What is attached to the table.
        Publication = "publication",
            "A publication is FOR ALL TABLES. It would publish the shadow and our log too, and subscribers do not have these tables.",
            "Publish the tables by name or by schema.";
        Subscription = "subscription",
            "Logical replication from another server fills the table, and would skip the new one without an error.",
            "Not supported. Detach it from the table.";
        Inheritance = "inheritance",
            "The table has a parent or a child table.",
            "Not supported. Detach it from the table.";
        Type = "type",
            "Another type uses the table's row type.",
            "Not supported. Detach it from the table.";
        Relation = "relation",
            "Another relation uses the table's row type.",
            "Not supported. Detach it from the table.";
        Constant = "constant",
            "A default, an index or another object of another table names the table by a constant of type regclass. After the swap it would still refer to the former table.",
            "Drop it first, and create it again after the swap.";
        NamesItself = "names-itself",
            "A generated column, a CHECK constraint or an index of the table reads `tableoid`, or names the table by a constant. The new table has another oid.",
            "Drop it first, and create it again after the swap.";
        TemporalKey = "temporal-key",
            "A foreign key with PERIOD is on the table, or references it.",
            "Drop it first, and create it again after the swap.";
        Extension = "extension",
            "An extension owns the table.",
            "Not supported. Detach it from the table.";
        ExtensionDependency = "extension-dependency",
            "An index or trigger of the table was set to DEPENDS ON EXTENSION, which is not carried over.",
            "Remove the dependency, and set it again after the swap.";
        SecurityLabel = "security-label",
            "The table has a security label, which is not carried over.",
            "Remove the label, and set it again after the swap.";
        Grant = "grant",
            "A role other than the owner granted a privilege on the table.",
            "Revoke it, and let the owner grant it.";
        Object = "object",
            "Another object depends on the table in a way that pgrecast does not know.",
            "Not supported. Detach it from the table.";
        RowSecurity = "row-security",
            "Row-level security is forced on the table's owner, who would not see all rows.",
            "Run `alter role .. bypassrls`.";
        InvalidIndex = "invalid-index",
            "An index is invalid: its build failed.",
            "Drop it, or reindex it.";
        StatisticsOwner = "statistics-owner",
            "A role other than the table's owner owns extended statistics on the table.",
            "Run `alter statistics .. owner to` the table's owner.";
        DisabledConstraint = "disabled-constraint",
            "`ALTER TABLE .. DISABLE TRIGGER ALL` has disabled a constraint, or the change does so. The swap would enforce it again.",
            "Run `enable trigger all` first.";
        ColumnInUse = "column-in-use",
            "A view, rule, policy, function or publication uses a column that the change drops, or cannot follow its new name.",
            "Drop it first, and create it again after the swap.";
        NotCarriedOver = "not-carried-over",
            "A view, rule, policy, function or publication refers to the table and cannot be changed to refer to the new one. The message says why: its query does not fit the new types, an extension owns it, ..",
            "Drop it first, and create it again after the swap.";

        // Actions that pgrecast does not perform.
        ByHand = "by-hand",
            "The action concerns other tables too, or the table's owner, type or rules.",
            "Run that action yourself: the hint says what it locks and reads.";
        Cascade = "cascade",
            "CASCADE would drop objects that belong to others.",
            "Drop them first, then leave CASCADE out.";
        ForeignOptions = "foreign-options",
            "OPTIONS are for foreign tables.",
            "Use ALTER FOREIGN TABLE.";
        SeveralObjects = "several-objects",
            "The statement changes several tables or drops several indexes.",
            "Write one statement for each.";
        Outdated = "outdated",
            "PostgreSQL 12 and later do not have what the action asks for.",
            "The hint says what to use.";
        OtherStatement = "other-statement",
            "The file has a statement other than ALTER TABLE, CREATE INDEX and DROP INDEX.",
            "Run it yourself; leave out BEGIN and COMMIT.";
        AfterRename = "after-rename",
            "An action follows RENAME TO or SET SCHEMA, when the table already has another name.",
            "Put RENAME TO or SET SCHEMA last, and only one of them.";
        InPlaceOnly = "in-place-only",
            "RENAME TO, SET SCHEMA or FORCE ROW LEVEL SECURITY is combined with an action that needs a copy.",
            "Run it separately.";
        NeedsCopy = "needs-copy",
            "`--strategy in-place` was given, and the change needs a copy.",
            "Leave `--strategy in-place` out.";

        // What the trial on an empty clone finds.
        NotAccepted = "not-accepted",
            "PostgreSQL does not accept the change, or the condition of `--where`.",
            "Read the server's message, and correct the change.";
        NotPrepared = "not-prepared",
            "PostgreSQL does not accept a statement that creates the shadow with an object that the table has now.",
            "Read the server's message: change the object that it names, or grant the missing right.";
        EventTrigger = "event-trigger",
            "Something in the database, in most cases an event trigger, changes each table that is created or altered. pgrecast removes what it can from the tables that it creates; this cannot be removed.",
            "Let the event trigger leave out schemas whose names begin with `pgrecast`, or disable it until the swap.";
        NoKey = "no-key",
            "The table has no key that identifies its rows.",
            "Add a primary key, or a unique index on NOT NULL columns that is not deferrable.";
        KeyChanged = "key-changed",
            "The change leaves no key that identifies a row in both shapes.",
            "Leave the columns of one key alone, or add another key first.";
        NoWayBack = "no-way-back",
            "The new columns cannot be converted back: no assignment cast leads to the old type, or PostgreSQL does not accept `--reverse`.",
            "Give the conversion: `--reverse 'column=expression'`.";
        VolatileExpression = "volatile-expression",
            "An expression (USING, `--set`, `--where`) can return a different result each time it is evaluated.",
            "Use only constants and columns of the row.";
        UnreadableExpression = "unreadable-expression",
            "An expression (USING, `--set`, `--where`) does not work on the columns of the original.",
            "Use only columns of the original.";
        WhereReadsOthers = "where-reads-others",
            "The condition of `--where` reads another table.",
            "Use only constants and columns of the row.";
        WhereForeignKeys = "where-foreign-keys",
            "`--where` is given, and foreign keys reference the table. They may reference rows that are not kept.",
            "Drop these foreign keys first.";
        WhereKeyConversion = "where-key-conversion",
            "`--where` is combined with a conversion of the key that may make two keys equal.",
            "Do them one after the other.";
        RowLoss = "row-loss-not-allowed",
            "`--where` leaves rows out, and cleanup drops them.",
            "Add `--allow-row-loss`, if that is what you want.";
        NoOrder = "no-order",
            "No index gives the order of `--order-by`.",
            "Create an index as the message describes, preferably one that ends with the key.";
        ColumnsByPlace = "columns-by-place",
            "`--columns` is given, and an object uses the columns by their position.",
            "Drop it first, and create it again after the swap ([0019](decisions/0019-columns-in-another-order.md)).";
        ArrayWithLength = "array-with-length",
            "A column changes from or to an array of a type with a length.",
            "Use the element type without a length.";
        IdentityRestarted = "identity-restarted",
            "The change restarts the identity of a column.",
            "Do that separately: it is quick.";
        IdentityReplaced = "identity-replaced",
            "The change drops the identity of a column and creates a new one.",
            "Do that separately: it is quick.";
        SequenceInUse = "sequence-in-use",
            "A sequence goes with its column, and something else uses it.",
            "Give the other one a sequence of its own.";
        NotNullWithoutDefault = "not-null-without-default",
            "A new column is NOT NULL and has no default for the existing rows.",
            "Give it a default, which can be dropped after the swap.";
        AddedThenAltered = "added-then-altered",
            "The change adds a column with a different value for each row, and then alters it.",
            "Only add the column with its default, and alter it separately after the swap.";
        TooManyColumns = "too-many-columns",
            "The table has more columns than can be carried over.",
            "A table may have 831 columns with a key of one column.";
        NotUtf8 = "encoding",
            "A name or a definition of the database is not UTF-8, which `SQL_ASCII` allows.",
            "Define it again in UTF-8, or drop it.";

        FailOn = "fail-on",
            "The plan has a risk that `--fail-on` names.",
            "Read the risks that the plan prints.";
    }
}
