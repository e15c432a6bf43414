<?php
// SPDX-License-Identifier: GPL-2.0-or-later
// PHP, with opcache's JIT or without.
$n = (int)($argv[1] ?? 3000);
function fib(int $k): int { return $k < 2 ? $k : fib($k - 1) + fib($k - 2); }
echo fib(21), ' ', intdiv(PHP_INT_MAX, 7), ' ', PHP_INT_MAX + 1, ' ', -7 % 3, ' ', 0.1 + 0.2, "\n";
$s = 0.0;
for ($i = 1; $i < $n * 50; $i++) $s += sqrt($i) * (($i % 7) - 3) / ($i & 15 | 1);
printf("%.10f %.15g\n", $s, exp(20.5));
$caught = 0;
for ($i = 0; $i < $n; $i++) {
	try {
		if ($i % 3 == 0) throw new DomainException("d$i");
		if ($i % 3 == 1) $x = intdiv($i, $i - $i);
		(function (int $k) { return $k; })("no");
	} catch (DomainException $e) { $caught += strlen($e->getMessage()); } catch (DivisionByZeroError $e) { $caught += 2; } catch (TypeError $e) { $caught += 3; } finally { $caught ^= 1; }
}
echo $caught, "\n";
$seed = 9;
$words = [];
for ($i = 0; $i < $n; $i++) { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; $words[] = base_convert((string)$seed, 10, 36); }
sort($words);
$text = implode(' ', $words);
echo preg_match_all('/\b(\w)\w*\1\b/', $text), ' ', substr(preg_replace('/[aeiou]+/', '*', $text), 0, 50), "\n";
foreach (['md5', 'sha256', 'crc32b', 'xxh3', 'whirlpool'] as $h) echo $h, ' ', substr(hash($h, $text), 0, 32), "\n";
function gen(int $k) { for ($i = 0; $i < $k; $i++) { $got = yield $i => $i * $i; if ($got) return $got; } }
$sum = 0;
foreach (gen($n) as $k => $v) $sum = ($sum * 31 + $k + $v) % 1000003;
class P { public function __construct(public readonly int $a, private array $b = []) {} public function __get($k) { return $this->b[$k] ?? ($this->b[$k] = strlen($k)); } }
$p = new P(5);
for ($i = 0; $i < $n; $i++) $sum = ($sum + $p->{'k' . ($i % 20)} * $p->a) % 1000003;
echo $sum, ' ', json_encode(['a' => [1, 2.5, null], 'b' => "\u{e9}"]), ' ', serialize([1.1, true, 'x']), "\n";
$m = [];
for ($i = 0; $i < $n * 5; $i++) $m[$i * 7919 % 997] = ($m[$i * 7919 % 997] ?? 0) ^ $i;
ksort($m);
echo count($m), ' ', crc32(implode(',', $m)), "\n";
