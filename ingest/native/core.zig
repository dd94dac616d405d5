//! The native reader: all functions that Python calls are the `export fn` of these files.
pub const panic = @import("boundary.zig").panic;

comptime {
    _ = @import("columns.zig");
    _ = @import("events.zig");
    _ = @import("places.zig");
    _ = @import("known.zig");
    _ = @import("logs.zig");
    _ = @import("parameters.zig");
}
