#include <math.h>
/* EGPO with a uniform reference; `-Ofast` lets the compiler reorder sums and vectorise exp. n is a multiple of 4. */
/* EGPO on `games` tables of n responses, each run to its end before the next; P is constant-sum, so P q = 1 - P^T q. */
static void product(const float *restrict P, const float *restrict q, float *restrict g, int n) {
    for (int i = 0; i < n; i++) g[i] = 0;
    for (int j = 0; j < n; j += 4) {
        const float *a = P + j*n, *b = a + n, *c = b + n, *d = c + n;
        float x = q[j], y = q[j+1], z = q[j+2], w = q[j+3];
        for (int i = 0; i < n; i++) g[i] += a[i]*x + b[i]*y + c[i]*z + d[i]*w;
    }
}
static void stage(const float *restrict l, const float *restrict g, float *restrict out, int n, float a, float b, float eta) {
    float top = -1e30f, sum = 0;
    for (int i = 0; i < n; i++) { out[i] = a*l[i] + b - eta*g[i]; top = fmaxf(top, out[i]); }
    for (int i = 0; i < n; i++) sum += expf(out[i]-top);
    float shift = top + logf(sum);
    for (int i = 0; i < n; i++) out[i] -= shift;
}
static void weights(const float *restrict l, float *restrict q, int n) { for (int i = 0; i < n; i++) q[i] = expf(l[i]); }
void egpo(const float *P, float *policy, float *gaps, int games, int n, int steps, int every, float eta, float beta) {
    float q[n], g[n], half[n];
    float ref = -logf(n), a = 1-eta*beta, b = eta*beta*ref;
    for (int k = 0; k < games; k++) {
        const float *T = P + (long)k*n*n; float *l = policy + (long)k*n;
        for (int i = 0; i < n; i++) l[i] = ref;
        for (int t = 0; t <= steps; t++) {
            weights(l, q, n); product(T, q, g, n);
            if (t % every == 0) {
                float top = -1e30f, sum = 0, kl = 0;
                for (int i = 0; i < n; i++) { half[i] = ref - g[i]/beta; top = fmaxf(top, half[i]); }
                for (int i = 0; i < n; i++) sum += expf(half[i]-top);
                float shift = top + logf(sum);
                for (int i = 0; i < n; i++) { float d = l[i] - half[i] + shift; kl += q[i]*(expf(-d)-1+d); }
                gaps[(long)k*(steps/every+1) + t/every] = 2*beta*kl;
            }
            if (t == steps) break;
            stage(l, g, half, n, a, b, eta); weights(half, q, n); product(T, q, g, n); stage(l, g, l, n, a, b, eta);
        }
    }
}
