//! What must hold for a process after everything that it is told.

use understudy_membership::NodeId;

use super::world::World;

impl World {
    /// Checks what a process thinks of one node, or of all.
    pub fn examine(&mut self, process: usize, whom: Option<NodeId>) {
        let now = self.now();
        let state = &mut self.processes[process];
        let Some(machine) = &state.machine else { return };
        match whom {
            Some(node) => {
                machine.member(node).into_iter().for_each(|member| state.watch.member(now, member));
            }
            None => {
                state.watch.members(now, machine, &state.open);
                self.check_links(process);
            }
        }
    }

    /// A member's link leads to the start that the member is.
    fn check_links(&self, process: usize) {
        let Some(machine) = &self.processes[process].machine else { return };
        for member in machine.members() {
            let Some(link) = member.link else { continue };
            let Some(wire) = self.network.wire(link.0) else { continue };
            let side = usize::from(wire.ends[0].process == process);
            let peer = &self.processes[wire.ends[side].process].identity;
            let is_right = (peer.node, peer.generation, peer.fingerprint)
                == (member.node, member.generation, member.fingerprint);
            assert!(is_right, "INV-M1, INV-M2: a link of {} leads to {peer:?}", member.node);
            let me = machine.hello();
            let spoken = *me.protocol.end().min(peer.protocol.end());
            assert_eq!((peer.cluster, member.protocol), (me.cluster, spoken), "INV-M4: {}", member.node);
            assert!(peer.protocol.contains(&spoken), "INV-M4: {} does not speak {spoken}", member.node);
        }
    }
}
