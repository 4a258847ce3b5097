/** One module graph for all tests: each mutant would otherwise compile the pack once a file. */
import '../absent-facts.test.ts';
import '../calendar.test.ts';
import '../compile.test.ts';
import '../compose.test.ts';
import '../condition.test.ts';
import '../document.test.ts';
import '../explain.test.ts';
import '../facts.test.ts';
import '../logic.test.ts';
import '../rules.test.ts';
import '../scenarios.test.ts';
