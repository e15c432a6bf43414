# SPDX-License-Identifier: GPL-2.0-or-later
# Perl: its regular expressions, numbers, sorting, packing, closures, die and eval.
use strict;
use warnings;
use List::Util qw(sum shuffle reduce first);
my $n = shift // 2000;
my $seed = 12345;
sub rnd { $seed = ($seed * 1103515245 + 12345) % 2147483648; return $seed >> 8 }
my @words = map { join '', map { chr(97 + rnd() % 26) } 1 .. 3 + rnd() % 8 } 1 .. $n;
my %count;
$count{$_}++ for map { substr $_, 0, 2 } @words;
print join(' ', map { "$_=$count{$_}" } (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 9]), "\n";
my $text = join ' ', @words;
print scalar(() = $text =~ /\b(\w)(\w)?\w*\1\b/g), ' ', scalar(() = $text =~ /(?<!a)(?:[aeiou][^aeiou ]){2,}/g), "\n";
(my $t = $text) =~ s/(\w+)/ucfirst reverse $1/ge;
print substr($t, 0, 60), ' ', unpack('%32C*', $t), "\n";
printf "%.15g %.10e %.3f %s\n", sum(map { sqrt } 1 .. $n), exp(1) ** 30, atan2(1, 3) * 1e6, 0.1 + 0.2;
printf "%s %s %d %s\n", 2 ** 62, 9007199254740993, -17 % 5, int(-7.9);
my $packed = pack 'nNvVCdf>q<w', 1, 2, 3, 4, 5, 6.5, 7.25, -8, 900;
print unpack('H*', $packed), "\n";
my $caught = 0;
for my $i (1 .. $n) { eval { die { code => $i } if $i % 3 == 0; 1 } or $caught += $@->{code}; }
print "caught $caught\n";
my @subs = map { my $k = $_; sub { $k += shift } } 1 .. 5;
print join(',', map { my $s = $_; map { $s->($_) } 1 .. 3 } @subs), "\n";
local $SIG{ALRM} = sub { die "alarm\n" };
eval { alarm 1; 1 while 1; };
print $@;
local $SIG{FPE} = 'IGNORE';
eval { my $z = 0; my $x = 1 / $z; };
print $@ =~ /^(Illegal division by zero)/, "\n";
my $pid = open(my $from, '-|') // die;
if (!$pid) { print "child $_\n" for 1 .. 3; exit 0 }
print while <$from>;
my $r = '';
$r = reduce { ($a * 31 + ord $b) % 1000003 } 7, split //, $text;
print "$r\n";
