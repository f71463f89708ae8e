//! The existing keys of one connection of a workload.

use std::collections::HashMap;

use super::twin::Random;

/// The keys of a worker, with undo for rolled-back transactions.
#[derive(Debug, Default)]
pub struct Keys {
    live: Vec<String>,
    position: HashMap<String, usize>,
    /// Recently deleted or changed. May be live again.
    freed: Vec<String>,
    next: u64,
    done: Vec<Done>,
}

#[derive(Debug)]
enum Done {
    Added(String),
    Removed(String),
}

impl Keys {
    pub fn has(&self, key: &str) -> bool {
        self.position.contains_key(key)
    }

    pub fn next_number(&mut self) -> u64 {
        self.next = self.next.max(self.live.len() as u64 / 3) + 1;
        self.next
    }

    /// Marks a key as live, if it is not already.
    pub fn add(&mut self, key: String) {
        if self.put(key.clone()) {
            self.done.push(Done::Added(key));
        }
    }

    pub fn remove(&mut self, key: &str) {
        if self.take(key) {
            self.freed.push(key.to_owned());
            if self.freed.len() > 100 {
                self.freed.remove(0);
            }
            self.done.push(Done::Removed(key.to_owned()));
        }
    }

    pub fn any(&self, random: &mut Random) -> Option<String> {
        let index = random.below(self.live.len() as u64) as usize;
        self.live.get(index).cloned()
    }

    pub fn any_two(&self, random: &mut Random) -> Option<(String, String)> {
        let (a, b) = (self.any(random)?, self.any(random)?);
        (a != b).then_some((a, b))
    }

    /// The most recently freed key that is not live again.
    pub fn take_freed(&mut self) -> Option<String> {
        while let Some(key) = self.freed.pop() {
            if !self.has(&key) {
                return Some(key);
            }
        }
        None
    }

    pub fn mark(&self) -> usize {
        self.done.len()
    }

    pub fn go_back_to(&mut self, mark: usize) {
        while self.done.len() > mark {
            match self.done.pop() {
                Some(Done::Added(key)) => drop(self.take(&key)),
                Some(Done::Removed(key)) => drop(self.put(key)),
                None => {}
            }
        }
    }

    pub fn forget_the_way_back(&mut self) {
        self.done.clear();
    }

    fn put(&mut self, key: String) -> bool {
        if self.has(&key) {
            return false;
        }
        self.position.insert(key.clone(), self.live.len());
        self.live.push(key);
        true
    }

    fn take(&mut self, key: &str) -> bool {
        let Some(index) = self.position.remove(key) else { return false };
        self.live.swap_remove(index);
        if let Some(moved) = self.live.get(index) {
            self.position.insert(moved.clone(), index);
        }
        true
    }
}
