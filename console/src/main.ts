// The entry: one application in one element.
import { mount } from 'svelte';
import 'uplot/dist/uPlot.min.css';
import './app.css';
import App from './App.svelte';

const target = document.getElementById('console');
if (!target) throw new Error('index.html has no element `console`');
mount(App, { target });
