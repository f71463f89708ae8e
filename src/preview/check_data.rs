//! Reads all rows before the change and counts those that do not convert, that would change, or that violate a new
//! constraint. Reads ranges of blocks, each in its own snapshot; writes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio_postgres::Client;

use crate::catalog::Definition;
use crate::db::Sessions;
use crate::error::{Error, Result};
use crate::name::{Fragment, Ident, sql};
use crate::plan::Blueprint;
use crate::plan::in_place::Proof;
use crate::plan::question::{Question, of_copy, shown_key};
use crate::plan::risk::{self, Code, Risk};
use crate::run::events::{Detail, Events, Outcome, Unit, Work};

/// 16 MB: short enough for one snapshot, long enough that the overhead does not matter.
const RANGE: i64 = 2048;

/// Sessions that read in parallel.
const READERS: usize = 2;

/// How many rows are named by their keys.
const NAMED: usize = 10;

/// The answer to one question.
#[derive(Debug, Clone, Default)]
struct Answer {
    rows: i64,
    shown: Vec<String>,
}

impl Answer {
    fn add(&mut self, other: Answer) {
        self.rows += other.rows;
        self.shown.extend(other.shown);
        self.shown.truncate(NAMED);
    }
}

/// The statements and questions for the table.
struct Survey {
    questions: Vec<Question>,
    source: Fragment,
    outputs: Fragment,
    key: Fragment,
}

/// The risks of copying the existing rows. `is_given` says for which columns the user gave `--reverse`.
pub async fn of_copy_risks(
    sessions: &Sessions,
    original: &Definition,
    blueprint: &Blueprint,
    is_given: impl Fn(&Ident) -> bool,
    events: &Events,
) -> Result<Vec<Risk>> {
    let questions = of_copy(original, blueprint, is_given);
    let keys: Vec<Ident> = original
        .indexes
        .iter()
        .filter(|index| index.is_primary)
        .flat_map(|index| &index.key_columns)
        .filter_map(|number| original.column(*number).map(|column| column.name.clone()))
        .collect();
    let key = shown_key(original, |n, _| format!("f.k{}", n + 1), "f.tid");
    let outputs = Fragment::join((1..=blueprint.forward.columns().len()).map(|n| format!("f.c{n}")), ", ");
    let source = blueprint.forward.source(&original.table.name, &keys);
    let survey = Arc::new(Survey { questions, source, outputs, key });

    let mut all = read_all(sessions, original, &survey, events).await?;
    let misfits = all.pop().unwrap_or_default();
    let table = original.table.name.shown();
    let mut risks = Vec::new();
    if misfits.rows > 0 {
        risks.push(risk::rows(
            Code::DoesNotConvert,
            &table,
            misfits.rows,
            "do not fit the new shape",
            &misfits.shown,
        ));
    }
    for (question, answer) in survey.questions.iter().zip(all) {
        if answer.rows > 0 {
            risks.push(risk::rows(
                question.code,
                &question.object,
                answer.rows,
                &question.words,
                &answer.shown,
            ));
        }
    }
    Ok(risks)
}

/// Reads all rows in several sessions. Returns an answer to each question, and a last one about rows that do not
/// convert.
async fn read_all(
    sessions: &Sessions,
    original: &Definition,
    survey: &Arc<Survey>,
    events: &Events,
) -> Result<Vec<Answer>> {
    events.began(Work::CheckData);
    let blocks: i64 = sessions
        .open("check")
        .await?
        .query_one(
            "select pg_catalog.pg_relation_size($1::oid) / pg_catalog.current_setting('block_size')::int8",
            &[&original.table.oid],
        )
        .await?
        .try_get(0)?;
    let next = Arc::new(AtomicI64::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for n in 1..=READERS {
        let (survey, next, sessions) = (Arc::clone(survey), Arc::clone(&next), sessions.clone());
        readers.spawn(async move {
            let session = sessions.open(&format!("check {n}")).await?;
            survey.read(&session, &next, blocks).await
        });
    }
    let mut all = vec![Answer::default(); survey.questions.len() + 1];
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(500));
    loop {
        tokio::select! {
            read = readers.join_next() => match read {
                None => break,
                Some(read) => {
                    let answers = read.map_err(|e| Error::failed(format!("a reader failed: {e}")))??;
                    all.iter_mut().zip(answers).for_each(|(sum, answer)| sum.add(answer));
                }
            },
            _ = tick.tick() => events.progressed(next.load(Ordering::Relaxed).min(blocks), blocks, Unit::Blocks, Detail::None),
        }
    }
    events.ended(Outcome::Read);
    Ok(all)
}

impl Survey {
    /// Reads ranges until none is left. The last answer is about rows that do not convert.
    async fn read(&self, session: &Client, next: &AtomicI64, blocks: i64) -> Result<Vec<Answer>> {
        let mut answers = vec![Answer::default(); self.questions.len() + 1];
        let counts = self.questions.iter().map(|q| format!("count(*) filter (where {})", q.condition));
        let read = sql!("preview/read_range.sql")
            .fill("outputs", &self.outputs)
            .fill("counts", &Fragment::join(counts, ", "))
            .fill("source", &self.source);
        let read = session.prepare(&read.text()).await?;
        let mut can_probe = false;
        loop {
            let first = next.fetch_add(RANGE, Ordering::Relaxed);
            if first >= blocks {
                return Ok(answers);
            }
            let end = first + RANGE;
            match session.query_one(&read, &[&first, &end]).await {
                Ok(row) => {
                    let counts: Vec<i64> = row.try_get("counts")?;
                    for ((answer, rows), question) in answers.iter_mut().zip(counts).zip(&self.questions) {
                        let left = NAMED.saturating_sub(answer.shown.len());
                        let shown = if rows > 0 && left > 0 {
                            self.keys(session, question, (first, end), left as i64).await?
                        } else {
                            Vec::new()
                        };
                        answer.add(Answer { rows, shown });
                    }
                }
                Err(error) => {
                    let error = Error::from(error);
                    if !error
                        .sqlstate
                        .as_deref()
                        .is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
                    {
                        return Err(error);
                    }
                    if !can_probe {
                        let create = sql!("preview/create_probe.sql")
                            .fill("outputs", &self.outputs)
                            .fill("source", &self.source);
                        session.batch_execute(&create.text()).await.map_err(|denied| {
                            Error::from(denied)
                                .context(format!("could not determine which rows do not fit ({})", error.message))
                                .state("nothing was changed")
                                .hint("This needs the right to create temporary functions: GRANT TEMPORARY ON DATABASE.")
                        })?;
                        can_probe = true;
                    }
                    let misfits = self.probe(session, first, end).await?;
                    if let Some(last) = answers.last_mut() {
                        last.add(misfits);
                    }
                }
            }
        }
    }

    async fn keys(
        &self,
        session: &Client,
        question: &Question,
        (first, end): (i64, i64),
        limit: i64,
    ) -> Result<Vec<String>> {
        let list = sql!("preview/list_keys.sql")
            .fill("from_key", &self.key)
            .fill("source", &self.source)
            .fill("condition", &Fragment::trusted(&question.condition));
        let rows = session.query(&list.text(), &[&first, &end, &limit]).await?;
        rows.iter().map(|row| Ok(row.try_get("shown")?)).collect()
    }

    async fn probe(&self, session: &Client, first: i64, end: i64) -> Result<Answer> {
        let probe =
            sql!("preview/probe_range.sql").fill("from_key", &self.key).fill("source", &self.source).text();
        let row = session.query_one(&probe, &[&first, &end]).await?;
        Ok(Answer { rows: row.try_get("misfits")?, shown: row.try_get("shown")? })
    }
}

/// The risks of rows that violate new constraints.
pub async fn of_proofs(sessions: &Sessions, proofs: &[Proof], events: &Events) -> Result<Vec<Risk>> {
    let mut risks = Vec::new();
    if proofs.is_empty() {
        return Ok(risks);
    }
    let session = sessions.open("check").await?;
    events.began(Work::CheckData);
    for (n, proof) in proofs.iter().enumerate() {
        let detail = Detail::Object(proof.object.clone());
        events.progressed(n as i64, proofs.len() as i64, Unit::Constraints, detail);
        if proof.offenders.is_empty() {
            risks.push(risk::not_checked(&proof.object, proof.words));
            continue;
        }
        let count =
            sql!("preview/count_offenders.sql").fill("offenders", &Fragment::trusted(&proof.offenders));
        let row = match session.query_one(&count.text(), &[]).await.map_err(Error::from) {
            Ok(row) => row,
            // It refers to columns that another action of the change creates or renames.
            Err(error) if error.sqlstate.is_some() => {
                risks.push(risk::not_checked(&proof.object, &error.message));
                continue;
            }
            Err(error) => return Err(error),
        };
        let (rows, shown): (i64, Vec<String>) = (row.try_get("offenders")?, row.try_get("shown")?);
        if rows > 0 {
            risks.push(risk::rows(proof.code, &proof.object, rows, proof.words, &shown));
        }
    }
    events.ended(Outcome::Read);
    Ok(risks)
}
