import Control
import FoundationEssentials
import Model

extension HostClock {
    /// The host's clocks with the wall clock wrong by the seconds that stand in a file, which is read at each look: a test
    /// steps the clock of one server and of nothing else. Nothing, or no number, in the file: it is right.
    static func wrong(by path: String) -> HostClock {
        let centuryInSeconds: Int64 = 100 * 366 * 86_400
        let host = HostClock.system()
        return HostClock {
            var reading = host.read()
            if let text = try? String(contentsOfFile: path, encoding: .utf8),
                let seconds = Int64(text.filter { !$0.isWhitespace }), (-centuryInSeconds...centuryInSeconds).contains(seconds)
            {
                reading.wall = reading.wall + .seconds(seconds)
            }
            return reading
        }
    }
}
