//! States that no rest of a text tells apart (Hopcroft's partition refinement).

/// The block of each state and how many blocks there are, numbered by their first states. `next`
/// has `stride` targets of each state.
pub(super) fn blocks(next: &[u32], stride: usize, accepts: &[bool]) -> (Vec<u32>, usize) {
    let sources = Sources::of(next, stride, accepts.len());
    let mut partition = Partition::of(accepts);
    // Blocks and classes to refine all others by.
    let mut todo: Vec<(u32, usize)> = Vec::new();
    let mut waiting = vec![false; partition.ranges.len() * stride];
    let push = |todo: &mut Vec<(u32, usize)>, waiting: &mut Vec<bool>, block: u32, class: usize| {
        waiting[block as usize * stride + class] = true;
        todo.push((block, class));
    };
    for block in 0..partition.ranges.len() as u32 {
        (0..stride).for_each(|class| push(&mut todo, &mut waiting, block, class));
    }
    while let Some((block, class)) = todo.pop() {
        waiting[block as usize * stride + class] = false;
        let mut touched = Vec::new();
        for target in partition.members(block) {
            for source in sources.leading(target, class) {
                partition.mark(*source, &mut touched);
            }
        }
        for old in touched {
            let Some(new) = partition.split(old) else { continue };
            waiting.resize(partition.ranges.len() * stride, false);
            for class in 0..stride {
                // What is still waiting has to be done for both halves, else for either.
                let smaller = if partition.len(new) <= partition.len(old) { new } else { old };
                let either = if waiting[old as usize * stride + class] { new } else { smaller };
                push(&mut todo, &mut waiting, either, class);
            }
        }
    }
    let mut numbers = vec![u32::MAX; partition.ranges.len()];
    let mut count = 0;
    let numbered = partition.block.iter().map(|block| {
        let number = &mut numbers[*block as usize];
        if *number == u32::MAX {
            *number = count;
            count += 1;
        }
        *number
    });
    let blocks = numbered.collect();
    (blocks, count as usize)
}

/// States by where they lead.
struct Sources {
    stride: usize,
    /// Where in `states` those of each target and class begin.
    offsets: Vec<u32>,
    states: Vec<u32>,
}

impl Sources {
    fn of(next: &[u32], stride: usize, count: usize) -> Self {
        let cell = |(index, target): (usize, &u32)| *target as usize * stride + index % stride;
        let mut offsets = vec![0_u32; count * stride + 1];
        next.iter().enumerate().map(cell).for_each(|cell| offsets[cell + 1] += 1);
        for cell in 1..offsets.len() {
            offsets[cell] += offsets[cell - 1];
        }
        let mut free = offsets.clone();
        let mut states = vec![0; next.len()];
        for (index, target) in next.iter().enumerate() {
            let free = &mut free[cell((index, target))];
            states[*free as usize] = (index / stride) as u32;
            *free += 1;
        }
        Self { stride, offsets, states }
    }

    fn leading(&self, target: u32, class: usize) -> &[u32] {
        let cell = target as usize * self.stride + class;
        &self.states[self.offsets[cell] as usize..self.offsets[cell + 1] as usize]
    }
}

/// States in an order in which blocks are ranges, marked states first.
struct Partition {
    order: Vec<u32>,
    place: Vec<u32>,
    block: Vec<u32>,
    ranges: Vec<(u32, u32)>,
    marked: Vec<u32>,
}

impl Partition {
    /// Two blocks, of which neither is empty if there are both kinds of states.
    fn of(accepts: &[bool]) -> Self {
        let all = || 0..accepts.len() as u32;
        let order: Vec<u32> = all()
            .filter(|state| !accepts[*state as usize])
            .chain(all().filter(|state| accepts[*state as usize]))
            .collect();
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, state)| place[*state as usize] = at as u32);
        let refusing = accepts.iter().filter(|accepts| !**accepts).count() as u32;
        let block = accepts.iter().map(|accepts| u32::from(*accepts)).collect();
        let ranges = vec![(0, refusing), (refusing, order.len() as u32)];
        Self { order, place, block, ranges, marked: vec![0; 2] }
    }

    fn len(&self, block: u32) -> u32 {
        let (start, end) = self.ranges[block as usize];
        end - start
    }

    fn members(&self, block: u32) -> Vec<u32> {
        let (start, end) = self.ranges[block as usize];
        self.order[start as usize..end as usize].to_vec()
    }

    fn mark(&mut self, state: u32, touched: &mut Vec<u32>) {
        let block = self.block[state as usize] as usize;
        let (at, free) = (self.place[state as usize], self.ranges[block].0 + self.marked[block]);
        if at < free {
            return;
        }
        if self.marked[block] == 0 {
            touched.push(block as u32);
        }
        self.marked[block] += 1;
        let other = self.order[free as usize];
        self.order.swap(at as usize, free as usize);
        self.place[other as usize] = at;
        self.place[state as usize] = free;
    }

    /// Makes the marked states of a block a new one, unless they are all of it.
    fn split(&mut self, block: u32) -> Option<u32> {
        let marked = std::mem::take(&mut self.marked[block as usize]);
        let (start, end) = self.ranges[block as usize];
        if start + marked == end {
            return None;
        }
        let new = self.ranges.len() as u32;
        self.ranges[block as usize] = (start + marked, end);
        self.ranges.push((start, start + marked));
        self.marked.push(0);
        for state in &self.order[start as usize..(start + marked) as usize] {
            self.block[*state as usize] = new;
        }
        Some(new)
    }
}
