//! Taking jobs: what is due becomes ready, and every queue that has work gets its share.

use super::limits;
use crate::commit::UnitOfWork;
use crate::store::{ClaimQuery, Claimed, KindVersion, Pause, Result};

/// How many due jobs are made ready in one statement, and how many statements one claim makes.
const PROMOTED: usize = 500;
const ROUNDS: usize = 4;

/// What a worker wants.
pub(crate) struct ClaimRequest<'a> {
    pub(crate) worker: i64,
    /// The kinds that are handled, in every version.
    pub(crate) kinds: &'a [KindVersion],
    /// The queues that are served. `None`: every queue.
    pub(crate) queues: Option<&'a [String]>,
    pub(crate) most: usize,
    /// Whether one of them may be a job under which a process has died. Only one runs at a time.
    pub(crate) suspect: bool,
    /// Changes with each claim, so that each queue is the first one at some time.
    pub(crate) turn: usize,
}

/// Takes up to `most` jobs for a worker. Their order is the order in which they should start.
pub(crate) fn claim(work: &mut UnitOfWork<'_>, request: &ClaimRequest<'_>) -> Result<Vec<Claimed>> {
    for _ in 0..ROUNDS {
        if work.tx.promote_due(work.now, PROMOTED)? < PROMOTED {
            break;
        }
    }
    limits::admit_arrived(work.tx)?;
    if request.most == 0 {
        return Ok(Vec::new());
    }
    let pauses = work.tx.pauses()?;
    let open =
        |kind: &&KindVersion| !pauses.iter().any(|pause| matches!(pause, Pause::Kind(name) if *name == kind.kind));
    let kinds: Vec<KindVersion> = request.kinds.iter().filter(open).cloned().collect();
    let mut queues = match request.queues {
        Some(queues) => queues.to_vec(),
        None => work.tx.ready_queues()?,
    };
    queues.retain(|queue| !pauses.contains(&Pause::Queue(queue.clone())));
    if queues.is_empty() {
        return Ok(Vec::new());
    }
    let turn = request.turn % queues.len();
    queues.rotate_left(turn);
    from_queues(work, request, &kinds, queues)
}

/// Gives each queue an equal share, and what some of them do not need to the others.
fn from_queues(
    work: &mut UnitOfWork<'_>,
    request: &ClaimRequest<'_>,
    kinds: &[KindVersion],
    mut queues: Vec<String>,
) -> Result<Vec<Claimed>> {
    let mut jobs: Vec<Claimed> = Vec::new();
    let mut suspect = request.suspect;
    while !queues.is_empty() && jobs.len() < request.most {
        let mut hungry = Vec::new();
        let number = queues.len();
        for (n, queue) in queues.into_iter().enumerate() {
            let share = (request.most - jobs.len()).div_ceil(number - n);
            let before = jobs.len();
            let mut query =
                ClaimQuery { worker: request.worker, queue: &queue, kinds, suspects: true, most: 1, now: work.now };
            if suspect && share > 0 {
                jobs.extend(work.tx.claim(&query)?);
                suspect = jobs.len() == before;
            }
            (query.suspects, query.most) = (false, share - (jobs.len() - before));
            jobs.extend(work.tx.claim(&query)?);
            if share > 0 && jobs.len() - before == share {
                hungry.push(queue);
            }
        }
        queues = hungry;
    }
    Ok(jobs)
}
