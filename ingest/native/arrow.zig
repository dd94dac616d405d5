//! Hands finished columns to Arrow by its C data interface: the column's memory is freed when Arrow lets go of it.
const std = @import("std");
const boundary = @import("boundary.zig");

/// The struct of the C data interface; its layout is Arrow's.
pub const Array = extern struct {
    length: i64,
    null_count: i64,
    offset: i64 = 0,
    n_buffers: i64,
    n_children: i64 = 0,
    buffers: [*]const ?*const anyopaque,
    children: ?*anyopaque = null,
    dictionary: ?*Array = null,
    release: ?*const fn (*Array) callconv(.c) void,
    private_data: ?*anyopaque = null,
};

/// Moves a column into `out`. The column is empty afterwards.
///
/// A column has `rows()`, `nulls()`, `buffers()` (three, the first the validity), `dictionary()` (texts, or null) and
/// `deinit()`.
pub fn handOver(comptime Column: type, column: *Column, out: *Array) boundary.Error!void {
    const Owner = struct {
        column: Column,
        buffers: [3]?*const anyopaque,
        values: Array,
        value_buffers: [3]?*const anyopaque,

        fn release(array: *Array) callconv(.c) void {
            const self: *@This() = @ptrCast(@alignCast(array.private_data.?));
            self.column.deinit();
            boundary.gpa.destroy(self);
            array.release = null;
        }

        fn releaseValues(array: *Array) callconv(.c) void { // their memory is the column's
            array.release = null;
        }
    };
    const owner = try boundary.gpa.create(Owner);
    owner.column = column.*;
    column.* = .{};
    owner.buffers = owner.column.buffers();
    out.* = .{
        .length = @intCast(owner.column.rows()),
        .null_count = @intCast(owner.column.nulls()),
        .n_buffers = Column.buffer_count,
        .buffers = &owner.buffers,
        .release = &Owner.release,
        .private_data = owner,
    };
    if (owner.column.dictionary()) |texts| {
        owner.value_buffers = texts.buffers();
        owner.values = .{
            .length = @intCast(texts.count()),
            .null_count = 0,
            .n_buffers = 3,
            .buffers = &owner.value_buffers,
            .release = &Owner.releaseValues,
        };
        out.dictionary = &owner.values;
    }
}
