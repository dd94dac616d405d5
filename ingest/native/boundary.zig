//! What the functions for ctypes share: memory, guarded calls, statuses, the message of a panic.
const std = @import("std");

pub const gpa = std.heap.c_allocator;
pub const Error = error{ OutOfMemory, TooLarge };

extern fn guard_call(*const fn (*anyopaque) callconv(.c) c_int, *anyopaque) c_int;
extern fn guard_escape() noreturn;

threadlocal var message: [256]u8 = @splat(0);

/// A failed check (bounds, overflow, casts, nulls) ends the guarded call, and not the process.
pub const panic = std.debug.FullPanic(struct {
    fn call(text: []const u8, _: ?usize) noreturn {
        const length = @min(text.len, message.len - 1);
        @memcpy(message[0..length], text[0..length]);
        message[length] = 0;
        guard_escape();
    }
}.call);

/// Calls a function and gives its status: 0, 1 out of memory, 2 too large for Arrow's 32-bit offsets, -1 a panic. After
/// any status but 0, what the function worked on is not used again.
pub fn guarded(comptime function: anytype, arguments: std.meta.ArgsTuple(@TypeOf(function))) c_int {
    const Call = struct {
        arguments: @TypeOf(arguments),

        fn run(context: *anyopaque) callconv(.c) c_int {
            const self: *@This() = @ptrCast(@alignCast(context));
            const done: Error!void = @call(.auto, function, self.arguments);
            done catch |failure| return switch (failure) {
                error.OutOfMemory => 1,
                error.TooLarge => 2,
            };
            return 0;
        }
    };
    var call = Call{ .arguments = arguments };
    return guard_call(&Call.run, &call);
}

/// The message of this thread's last panic, which ends with a zero.
export fn panic_message() *const [256]u8 {
    return &message;
}
