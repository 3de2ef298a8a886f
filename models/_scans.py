"""The loops over time of a linear recurrence h_t = a_t ⊙ h_{t-1} + b_t for Numba, forwards and backwards.

All arrays are contiguous and of one floating type, with B sequences, T steps, D numbers: inputs b and states h
(B, T, D), initial h_0 (B, D); decay a is (B, T, D), or (G, 1, D) where it is the same at every step of each of G groups
of B/G sequences.
Of complex numbers the first half of the D numbers are the real parts and the second half the imaginary parts.

The backward loops run from the last step to the first. Of a loss with the gradients ∂_t with respect to h_t that come
from outside, G_t = ∂_t + conj(a_{t+1}) G_{t+1} is the whole gradient with respect to h_t. It is also that of b_t;
that of a_t is G_t conj(h_{t-1}), and that of h_0 is conj(a_1) G_1. `of_decay` is (B, T, D), or (B, 1, D) with the sum
over the steps.

The loops of the complex recurrence compute real and imaginary parts one after the other: LLVM does not take whole
vectors where a loop has too many arrays that might overlap.
"""

from __future__ import annotations

import numpy as np

from ._compiling import kernel


@kernel
def scan_forward(decay, inputs, initial, states, first, end, slot):
    """Fills the states of sequences first … end-1."""
    steps, varies, of_group = inputs.shape[1], int(decay.shape[1] > 1), inputs.shape[0] // decay.shape[0]
    for sequence in range(first, end):
        before = initial[sequence]
        for t in range(steps):
            factor, added, state = decay[sequence // of_group, t * varies], inputs[sequence, t], states[sequence, t]
            for d in range(state.size):
                state[d] = factor[d] * before[d] + added[d]
            before = state


@kernel
def scan_backward(decay, initial, states, of_states, of_decay, of_inputs, of_initial, first, end, slot):
    """Fills of_decay, of_inputs and of_initial (B, D) of sequences first … end-1; a sum starts from what is there."""
    steps, varies, of_group = states.shape[1], int(decay.shape[1] > 1), states.shape[0] // decay.shape[0]
    for sequence in range(first, end):
        carried = of_initial[sequence]  # what reaches a step from all later ones
        carried[:] = 0
        for t in range(steps - 1, -1, -1):
            before = states[sequence, t - 1] if t > 0 else initial[sequence]
            factor, gradient = decay[sequence // of_group, t * varies], of_inputs[sequence, t]
            given, of_factor = of_states[sequence, t], of_decay[sequence, t * varies]
            for d in range(gradient.size):
                gradient[d] = given[d] + carried[d]
                carried[d] = factor[d] * gradient[d]
            if varies:
                for d in range(gradient.size):
                    of_factor[d] = gradient[d] * before[d]
            else:
                for d in range(gradient.size):
                    of_factor[d] += gradient[d] * before[d]


@kernel
def complex_scan_forward(decay, inputs, initial, states, first, end, slot):
    """Fills the states of sequences first … end-1."""
    steps, varies, of_group = inputs.shape[1], int(decay.shape[1] > 1), inputs.shape[0] // decay.shape[0]
    half = inputs.shape[2] // 2
    for sequence in range(first, end):
        before = initial[sequence]
        for t in range(steps):
            factor, added, state = decay[sequence // of_group, t * varies], inputs[sequence, t], states[sequence, t]
            real, imaginary, real_before, imaginary_before = factor[:half], factor[half:], before[:half], before[half:]
            part, more = state[:half], added[:half]
            for d in range(half):
                part[d] = real[d] * real_before[d] - imaginary[d] * imaginary_before[d] + more[d]
            part, more = state[half:], added[half:]
            for d in range(half):
                part[d] = real[d] * imaginary_before[d] + imaginary[d] * real_before[d] + more[d]
            before = state


@kernel
def complex_scan_backward(decay, initial, states, of_states, of_decay, of_inputs, of_initial, first, end, slot):
    """Fills of_decay, of_inputs and of_initial (B, D) of sequences first … end-1; a sum starts from what is there."""
    steps, varies, of_group = states.shape[1], int(decay.shape[1] > 1), states.shape[0] // decay.shape[0]
    half = states.shape[2] // 2
    product = np.empty(2 * half, states.dtype)
    for sequence in range(first, end):
        carried = of_initial[sequence]  # what reaches a step from all later ones
        carried[:] = 0
        for t in range(steps - 1, -1, -1):
            before = states[sequence, t - 1] if t > 0 else initial[sequence]
            factor, gradient, given = (
                decay[sequence // of_group, t * varies],
                of_inputs[sequence, t],
                of_states[sequence, t],
            )
            for d in range(2 * half):
                gradient[d] = given[d] + carried[d]
            _conjugate_product(gradient, factor, carried)
            of_factor = of_decay[sequence, t * varies]
            if varies:
                _conjugate_product(gradient, before, of_factor)
            else:
                _conjugate_product(gradient, before, product)
                for d in range(2 * half):
                    of_factor[d] += product[d]


@kernel
def _conjugate_product(left, right, out):
    """out = left ⊙ conj(right), each (D,)."""
    half = left.size // 2
    left_real, left_imaginary, right_real, right_imaginary = left[:half], left[half:], right[:half], right[half:]
    part = out[:half]
    for d in range(half):
        part[d] = left_real[d] * right_real[d] + left_imaginary[d] * right_imaginary[d]
    part = out[half:]
    for d in range(half):
        part[d] = left_imaginary[d] * right_real[d] - left_real[d] * right_imaginary[d]
