// Cross-entropy of a chunk of logits, and its gradient in the logits' place.

// ce[row] = log(sum(exp(logits))) - logits[target]; then logits = weight (softmax(logits) - onehot(target)).
// logits: [rows, vocab]; targets: [rows] u32; weights, ce: [rows] f32. Grid [rows].
KERNEL(256, 1) cross_entropy(element* logits, const u32* targets, const float* weights, float* ce, int vocab) {
    element* row = logits + (i64)BLOCK_X * vocab;
    int target = (int)targets[BLOCK_X];
    float weight = weights[BLOCK_X], highest = -3.0e38f, sum = 0.f;
    for (int j = THREAD; j < vocab; j += BLOCK) {
        float x = value_of(row[j]), high = larger(highest, x);
        sum = sum * exponential(highest - high) + exponential(x - high);
        highest = high;
    }
    float high = block_max(highest);
    float total = block_sum(sum * exponential(highest - high));
    if (THREAD == 0) ce[BLOCK_X] = logarithm(total) + (high - value_of(row[target]));
    barrier();
    for (int j = THREAD; j < vocab; j += BLOCK) {
        float probability = exponential(value_of(row[j]) - high) / total;
        row[j] = rounded(weight * (probability - (j == target ? 1.f : 0.f)));
    }
}
