# SPDX-License-Identifier: GPL-2.0-or-later
# Hashes, strings, regular expressions, subroutine calls.
my $n = $ARGV[0];
my (%count, $text, $sum);
sub score { my ($word) = @_; return length($word) * 31 % 17 }
for my $i (1 .. $n) {
	my $word = "w" . ($i * 7919 % 997);
	$count{$word} += score($word);
	$text .= "$word " if $i % 50 == 0;
	$sum = ($sum + $1) % 1000003 if $word =~ /^w(\d+)7$/;
}
$sum += $count{$_} for sort keys %count;
print "$sum ", length($text // ""), "\n";
