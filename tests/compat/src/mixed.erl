% SPDX-License-Identifier: GPL-2.0-or-later
% Erlang: BeamAsm's code, many processes on many schedulers, big numbers, binaries, exceptions, links.
-module(mixed).
-export([main/0]).
fib(N) when N < 2 -> N;
fib(N) -> fib(N - 1) + fib(N - 2).
fact(0) -> 1;
fact(N) -> N * fact(N - 1).
ring(Parent, 0) -> receive X -> Parent ! X end;
ring(Parent, N) -> Next = spawn(fun() -> ring(Parent, N - 1) end), pass(Next).
pass(Next) -> receive X -> Next ! X + 1 end.
main() ->
    io:format("~p ~p~n", [fib(24), fact(700) rem 1000000007]),
    First = spawn(fun ring0/0),
    First ! {self(), 3000},
    receive {ring, V} -> io:format("ring ~p~n", [V]) end,
    Me = self(),
    [spawn(fun() -> Me ! {K, erlang:md5(integer_to_binary(fact(K)))} end) || K <- lists:seq(1, 300)],
    All = lists:sort([receive {K, H} -> {K, H} end || _ <- lists:seq(1, 300)]),
    io:format("~p~n", [erlang:crc32(term_to_binary([H || {_, H} <- All]))]),
    Caught = [try case K rem 4 of 0 -> 1 / (K - K); 1 -> lists:nth(99, [K]); 2 -> throw({thrown, K}); 3 -> list_to_integer("x") end
              catch C:R -> {C, if is_tuple(R) -> element(1, R); true -> R end} end || K <- lists:seq(0, 2000)],
    io:format("~p~n", [lists:sort([{X, length([1 || Y <- Caught, Y =:= X])} || X <- lists:usort(Caught)])]),
    process_flag(trap_exit, true),
    spawn_link(fun() -> exit(gone) end),
    receive {'EXIT', _, Why} -> io:format("exit ~p~n", [Why]) end,
    F = lists:foldl(fun(K, S) -> S + math:sqrt(K) * math:sin(K) end, 0.0, lists:seq(1, 50000)),
    Bin = << <<(K * 7 rem 256):8>> || K <- lists:seq(1, 5000) >>,
    Sum = lists:sum([A * B || <<A:5, B:3>> <= Bin]),
    io:format("~.9f ~p ~p~n", [F, Sum, maps:size(maps:from_list([{K rem 333, K} || K <- lists:seq(1, 5000)]))]),
    io:format("~p~n", [erlang:crc32(zlib:compress(Bin))]),
    halt(0).
ring0() -> receive {From, N} -> Self = self(), P = spawn(fun() -> ring(Self, N) end), P ! 0, receive X -> From ! {ring, X} end end.
