"""CPU kernels for antialiasing: crossings of outlines between pixels, the blend across them, and its gradient.

An edge is an outline if both of its faces are on the same side of the plane through the camera and the edge. A steep
outline is followed row by row, a flat one column by column, along the pixels' centres. Where it passes between two
centres, at a fraction t of the way, it cuts into the first pixel if t < 1/2, else into the second; that pixel takes
|t - 1/2| of its neighbour's value. For a straight outline, the sum over a row is then exactly the area on one side, and
the derivative of the sum is exact, too.
"""

import math

import numpy as np

from hifihr_core.machine.kernels import helper, kernel


@helper
def _volume(q, i, j, k):
    """Return the determinant of three homogeneous points.

    Its sign is the side of the plane through the camera and points i and j on which point k is.
    """
    return (
        q[k, 0] * (q[i, 1] * q[j, 2] - q[i, 2] * q[j, 1])
        + q[k, 1] * (q[i, 2] * q[j, 0] - q[i, 0] * q[j, 2])
        + q[k, 2] * (q[i, 0] * q[j, 1] - q[i, 1] * q[j, 0])
    )


@helper
def _follow(q, i, j, side, edge, across, face, depth, start, end, near, crossing_edge, crossing_at, crossing_reach):
    """Record where an outline crosses lines of pixel centres: rows if `across` is 0, columns if it is 1."""
    lines, places = face.shape[across], face.shape[1 - across]
    along = 1 - across
    for line in range(max(math.ceil(start - 0.5), 0), min(math.ceil(end - 0.5), lines)):
        center = line + 0.5
        d_i, d_j = q[i, along] - center * q[i, 2], q[j, along] - center * q[j, 2]
        if (d_i >= 0) == (d_j >= 0):
            continue
        m = q[i, 2] * d_j - q[j, 2] * d_i
        z = m / (d_j - d_i)
        if not z >= near:
            continue
        at = (q[i, across] * d_j - q[j, across] * d_i) / m - 0.5
        if not (at >= 0 and at < places - 1):
            continue
        first = int(at)
        row, col = (line, first) if across == 0 else (first, line)
        row2, col2 = (row, col + 1) if across == 0 else (row + 1, col)
        # Which pixel of the pair is on the side of the surface? n > 0: side grows to the right, or upwards in columns.
        n = q[i, along] * q[j, 2] - q[i, 2] * q[j, along]
        inside_first = (n < 0) == (side > 0) if across == 0 else (n > 0) == (side > 0)
        face_in, face_out = (face[row, col], face[row2, col2]) if inside_first else (face[row2, col2], face[row, col])
        z_in, z_out = (depth[row, col], depth[row2, col2]) if inside_first else (depth[row2, col2], depth[row, col])
        if face_in < 0 or face_in == face_out or not z_out > z or not z_out > z_in:
            continue
        reach = at - first if inside_first else 1 - (at - first)
        if reach > crossing_reach[row, col]:
            crossing_reach[row, col], crossing_edge[row, col], crossing_at[row, col] = reach, edge, at - first


@kernel
def find_crossings(q, edges, opposite, face, depth, near, crossing_edge, crossing_at, crossing_reach):
    """Find the outermost outline between every pixel of one image and its right (0) and lower (1) neighbour.

    Fills three arrays (2, H, W): the outline's edge, its position between the two centres (0 to 1), and its distance
    from the centre on its surface's side; without an outline they are -1, 0 and -1.
    """
    for axis in range(2):
        for row in range(face.shape[0]):
            for col in range(face.shape[1]):
                crossing_edge[axis, row, col], crossing_at[axis, row, col] = -1, 0
                crossing_reach[axis, row, col] = -1
    for e in range(edges.shape[0]):
        i, j = edges[e, 0], edges[e, 1]
        if q[i, 2] < near and q[j, 2] < near:
            continue
        side = _volume(q, i, j, opposite[e, 0])
        if opposite[e, 1] >= 0 and (side > 0) != (_volume(q, i, j, opposite[e, 1]) > 0):
            continue
        t_i = (near - q[i, 2]) / (q[j, 2] - q[i, 2]) if q[i, 2] < near else 0.0
        t_j = (near - q[i, 2]) / (q[j, 2] - q[i, 2]) if q[j, 2] < near else 1.0
        z_i, z_j = max(q[i, 2] + t_i * (q[j, 2] - q[i, 2]), near), max(q[i, 2] + t_j * (q[j, 2] - q[i, 2]), near)
        u_i, u_j = (q[i, 0] + t_i * (q[j, 0] - q[i, 0])) / z_i, (q[i, 0] + t_j * (q[j, 0] - q[i, 0])) / z_j
        v_i, v_j = (q[i, 1] + t_i * (q[j, 1] - q[i, 1])) / z_i, (q[i, 1] + t_j * (q[j, 1] - q[i, 1])) / z_j
        across = 0 if abs(v_j - v_i) >= abs(u_j - u_i) else 1
        start, end = (min(v_i, v_j), max(v_i, v_j)) if across == 0 else (min(u_i, u_j), max(u_i, u_j))
        limit = float(max(face.shape[0], face.shape[1]))
        start, end = min(max(start, -1.0), limit + 1), min(max(end, -1.0), limit + 1)
        _follow(
            q, i, j, side, e, across, face, depth, start - 1e-6, end + 1e-6, near,
            crossing_edge[across], crossing_at[across], crossing_reach[across],
        )  # fmt: skip


@helper
def _neighbour(crossing_edge, crossing_at, row, col, direction):
    """Return the share that a pixel takes of a neighbour's value, and two positions (row, column, row, column).

    The first is that of the neighbour: right, left, lower or upper for `direction` 0 to 3. The second is where the
    arrays of `find_crossings` hold the crossing between the two.
    """
    axis, back = direction // 2, direction % 2
    r, c = (row, col - back) if axis == 0 else (row - back, col)
    if r < 0 or c < 0 or crossing_edge[axis, r, c] < 0:
        return 0.0, row, col, r, c
    t = crossing_at[axis, r, c]
    share = t - 0.5 if back else 0.5 - t
    if axis == 0:
        return max(share, 0.0), row, (c if back else c + 1), r, c
    return max(share, 0.0), (r if back else r + 1), col, r, c


@helper
def _total(crossing_edge, crossing_at, row, col):
    """Return the sum of the shares that a pixel takes of its neighbours' values."""
    total = 0.0
    for direction in range(4):
        total += _neighbour(crossing_edge, crossing_at, row, col, direction)[0]
    return total


@helper
def _quiet(crossing_edge, row, col):
    """Return whether there is no outline between a pixel and its four neighbours."""
    return (
        crossing_edge[0, row, col] < 0
        and crossing_edge[1, row, col] < 0
        and (col == 0 or crossing_edge[0, row, col - 1] < 0)
        and (row == 0 or crossing_edge[1, row - 1, col] < 0)
    )


@kernel
def blend(values, crossing_edge, crossing_at, row_first, row_end, out):
    """Fill rows of `out` (H, W, C) with values mixed with their neighbours'; the shares of these sum to at most 1."""
    width, channels = values.shape[1], values.shape[2]
    for row in range(row_first, row_end):
        out[row] = values[row]
        for col in range(width):
            if _quiet(crossing_edge, row, col):
                continue
            whole = max(_total(crossing_edge, crossing_at, row, col), 1.0)
            for direction in range(4):
                share, r, k, _, _ = _neighbour(crossing_edge, crossing_at, row, col, direction)
                if share > 0:
                    for c in range(channels):
                        out[row, col, c] += share / whole * (values[r, k, c] - values[row, col, c])


@kernel
def blend_backward(values, crossing_edge, crossing_at, edges, q, grad_out, row_first, row_end, grad_values, grad_q):
    """Compute the gradient of `blend`.

    Fills rows of `grad_values` (H, W, C), and adds the effect of the moving outlines to `grad_q` (V, 3).
    """
    width, channels = values.shape[1], values.shape[2]
    contrast = np.zeros(4)
    for row in range(row_first, row_end):
        for col in range(width):
            for c in range(channels):
                grad_values[row, col, c] = grad_out[row, col, c]
            if _quiet(crossing_edge, row, col):
                continue
            total = _total(crossing_edge, crossing_at, row, col)
            whole, mixed = max(total, 1.0), 0.0
            for direction in range(4):
                share, r, k, pair_row, pair_col = _neighbour(crossing_edge, crossing_at, row, col, direction)
                contrast[direction] = 0.0
                if share > 0:
                    for c in range(channels):
                        contrast[direction] += grad_out[row, col, c] * (values[r, k, c] - values[row, col, c])
                    mixed += share * contrast[direction]
            for direction in range(4):
                share, r, k, pair_row, pair_col = _neighbour(crossing_edge, crossing_at, row, col, direction)
                if share > 0:
                    grad_share = contrast[direction] / whole
                    if total > 1:
                        grad_share -= mixed / (whole * whole)
                    axis = direction // 2
                    grad_t = grad_share if direction % 2 else -grad_share
                    _crossing_backward(
                        q, edges, crossing_edge[axis, pair_row, pair_col], axis, row, col,
                        (pair_col if axis == 0 else pair_row) + crossing_at[axis, pair_row, pair_col], grad_t, grad_q,
                    )  # fmt: skip
                given, r, k = _given(crossing_edge, crossing_at, row, col, direction)
                for c in range(channels):
                    if given > 0:
                        grad_values[row, col, c] += given * grad_out[r, k, c]
                    grad_values[row, col, c] -= share / whole * grad_out[row, col, c]


@helper
def _given(crossing_edge, crossing_at, row, col, direction):
    """Return the share that the neighbour in a direction takes of this pixel's value, and its row and column."""
    axis, back = direction // 2, direction % 2
    r, c = (row, col - back) if axis == 0 else (row - back, col)
    if r < 0 or c < 0 or crossing_edge[axis, r, c] < 0:
        return 0.0, row, col
    t = crossing_at[axis, r, c]
    share = 0.5 - t if back else t - 0.5
    if not share > 0:
        return 0.0, row, col
    step = -1 if back else 1
    r, c = (row, col + step) if axis == 0 else (row + step, col)
    return share / max(_total(crossing_edge, crossing_at, r, c), 1.0), r, c


@helper
def _crossing_backward(q, edges, e, axis, row, col, at, grad_t, grad_q):
    """Add the gradient of one crossing's position to the two ends of its edge.

    Let q = (x, y, z) at the ends i and j, and v be the coordinate of the row of pixel centres (for a column, x and y
    change places). With d = y - v z and m = z_i d_j - z_j d_i, the position is u = (x_i d_j - x_j d_i) / m, hence
    du = (d_j (dx_i - u dz_i) - d_i (dx_j - u dz_j) + e_i dd_j - e_j dd_i) / m with e = x - u z.
    """
    i, j = edges[e, 0], edges[e, 1]
    along = 1 - axis
    u = at + 0.5
    v = (row if axis == 0 else col) + 0.5
    d_i, d_j = q[i, along] - v * q[i, 2], q[j, along] - v * q[j, 2]
    e_i, e_j = q[i, axis] - u * q[i, 2], q[j, axis] - u * q[j, 2]
    g = grad_t / (q[i, 2] * d_j - q[j, 2] * d_i)
    grad_q[i, axis] += g * d_j
    grad_q[i, along] -= g * e_j
    grad_q[i, 2] += g * (v * e_j - u * d_j)
    grad_q[j, axis] -= g * d_i
    grad_q[j, along] += g * e_i
    grad_q[j, 2] += g * (u * d_i - v * e_i)
