internal import Synchronization

/// Hands one thing at a time from the tasks that make it to the one that sends it. Who makes more waits until the last
/// one was taken, so that nothing piles up before somebody who does not read.
final class Handover<Element: Sendable>: Sendable {
    private struct State {
        var element: Element?
        var isOver = false
        /// Two or three tasks, all of which look again after each change.
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    /// Gives the next element once there is room; false: nobody takes any more.
    func give(_ element: Element) async -> Bool {
        while true {
            let given = change { state -> Bool? in
                if state.isOver { return false }
                guard state.element == nil else { return nil }
                state.element = element
                return true
            }
            if let given { return given }
            await wait { $0.element == nil }
        }
    }

    /// Gives it only where there is room now.
    func offer(_ element: Element) {
        change { if !$0.isOver, $0.element == nil { $0.element = element } }
    }

    /// The next element; nil: there is no more.
    func take() async -> Element? {
        while true {
            let (element, isOver) = change { ($0.element.take(), $0.isOver) }
            if element != nil || isOver { return element }
            await wait { $0.element != nil }
        }
    }

    /// There is no more: what was given is still taken.
    func finish() {
        change { $0.isOver = true }
    }

    /// Wakes those who wait where there is something new for them: else two of them would wake each other for ever.
    private func change<T: Sendable>(_ body: (inout State) -> T) -> T {
        let (result, waiting) = state.withLock { state -> (T, [CheckedContinuation<Void, Never>]) in
            let before = (state.element != nil, state.isOver)
            let result = body(&state)
            guard before != (state.element != nil, state.isOver) else { return (result, []) }
            defer { state.waiting = [] }
            return (result, state.waiting)
        }
        for continuation in waiting { continuation.resume() }
        return result
    }

    /// Returns when something has changed, or when the task is cancelled, which ends all.
    private func wait(until isReady: (State) -> Bool) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isWaiting = state.withLock { state in
                    guard !state.isOver, !isReady(state) else { return false }
                    state.waiting.append(continuation)
                    return true
                }
                if !isWaiting { continuation.resume() }
            }
        } onCancel: {
            finish()
        }
    }
}
